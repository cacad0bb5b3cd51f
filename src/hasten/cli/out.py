"""All printing. Characters that would steer a terminal are removed here from names, reasons and others' files."""

from __future__ import annotations

import json
import re
from typing import Any

import typer

from hasten.texts import cleaned

_STEERING = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that JSON does not escape and that a terminal may act on."""


def say(text: object = "", **style: Any) -> None:
    """Prints a line for people. ``style`` holds options of ``typer.secho``: ``err``, ``fg``, ``bold``, ``nl``."""
    typer.secho(cleaned(str(text)), **style)


def say_json(data: Any) -> None:
    """Prints one JSON document to standard output, with escapes for characters that steer a terminal."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    typer.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
