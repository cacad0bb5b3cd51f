"""Where words leave: what would steer a terminal, in names, reasons and files of others, is taken out here."""

from __future__ import annotations

import json
import re
from typing import Any

import typer

from hasten.texts import cleaned

_STEERING = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""What JSON leaves as it is, and a terminal may act on."""


def say(text: object = "", **style: Any) -> None:
    """A line for people; ``style`` as ``typer.secho`` takes it: ``err``, ``fg``, ``bold``, ``nl``."""
    typer.secho(cleaned(str(text)), **style)


def say_json(data: Any) -> None:
    """One JSON document on standard output: the same data, with escapes for what steers a terminal."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    typer.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
