"""All printing. Characters that would steer a terminal are removed here from names, reasons and others' files."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any

import typer

from hasten.errors import WriteError
from hasten.texts import cleaned

_STEERING = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that JSON does not escape and that a terminal may act on."""
COLOURS = ("fg", "bg")


def say(text: object = "", **style: Any) -> None:
    """Prints a line for people. ``style`` holds options of ``typer.secho``: ``err``, ``fg``, ``bold``, ``nl``."""
    if os.environ.get("NO_COLOR"):
        style = {name: value for name, value in style.items() if name not in COLOURS}
    with written():
        typer.secho(cleaned(str(text)), **style)


def say_json(data: Any) -> None:
    """Prints one JSON document to standard output, with escapes for characters that steer a terminal."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    with written():
        typer.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


@contextmanager
def written() -> Iterator[None]:
    """Flushes what is printed inside the context. Raises WriteError where that fails, e.g. on a full disk.

    A reader that has gone away, as ``head`` does, is not a fault, and its BrokenPipeError passes on.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _let_go()
        raise WriteError(
            f"The output cannot be written: {error.strerror}. Whatever went to files is there."
        ) from None


def _let_go() -> None:
    """Turns standard output to the null device: what its buffer holds would fail once more when Python ends."""
    with suppress(OSError, ValueError):  # a stream that a program has put in its place has no file
        os.dup2(nothing := os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.close(nothing)


def open_streams() -> None:
    """Makes the standard streams accept every text.

    A closed stream becomes the null device, so that a file that is opened later is not taken for it. A character
    that the encoding lacks is written as its number.
    """
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nothing := os.open(os.devnull, os.O_RDWR), number)
            if nothing != number:
                os.close(nothing)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a program that calls this may have put its own in their place
            stream.reconfigure(errors="backslashreplace")
