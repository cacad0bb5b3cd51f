"""Writes Python literals as a formatter lays them out. User text reaches a script only through this module."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len

WIDTH = 88


def literal(value: Any, prefix: str = "", indent: int = 0) -> str:
    """Returns the source of a value made of dicts, lists, tuples, text, numbers, booleans and None.

    Args:
        prefix: the text before the value on its line, which determines how much room is left.
        indent: the indentation of that line, in spaces.
    """
    flat = _flat(value)
    if not isinstance(value, Mapping | list | tuple) or not value:
        return flat
    if cell_len(prefix + flat) + bool(indent) <= WIDTH:
        return flat
    inner = " " * (indent + 4)
    keys = [f"{_flat(k)}: " for k in value] if isinstance(value, Mapping) else [""] * len(value)
    items = value.values() if isinstance(value, Mapping) else value
    lines = (f"{inner}{key}{literal(v, inner + key, indent + 4)},\n" for key, v in zip(keys, items, strict=True))
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    return f"{opening}\n{''.join(lines)}{' ' * indent}{closing}"


def assignment(name: str, value: Any) -> str:
    """Returns the line or lines ``NAME = value``. Long text is split, and a long dict has one entry a line."""
    if isinstance(value, str):
        return f"{name} = {_long(value, f'{name} = ')}"
    return f"{name} = {literal(value, f'{name} = ')}"


def prose(text: str) -> str:
    """Returns the text on one line, with a space for every character that does not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def in_docstring(lines: str) -> str:
    """Escapes text for a docstring in three double quotes. The text must not begin or end with a double quote."""
    return lines.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def labelled(label: str, text: str, margin: int = 10) -> str:
    """Returns ``label     text``, wrapped, with the following lines indented to the start of the text."""
    wrapped = textwrap.fill(
        prose(text),
        WIDTH,
        initial_indent=f"{label:<{margin}}",
        subsequent_indent=" " * margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or label


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flat(k)}: {_flat(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    """Returns ``repr`` of the text with double quotes, unless single quotes need fewer escapes."""
    single = repr(text)
    if single.startswith('"') or text.count('"') > text.count("'"):
        return single
    return '"' + single[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


def _long(text: str, prefix: str) -> str:
    whole = _quoted(text)
    if cell_len(prefix + whole) <= WIDTH:
        return whole
    if cell_len(whole) <= WIDTH - 4:
        return f"(\n    {whole}\n)"
    pieces = _pieces(text)
    return whole if len(pieces) == 1 else "(\n" + "".join(f"    {_quoted(piece)}\n" for piece in pieces) + ")"


def _pieces(text: str) -> list[str]:
    """Cuts the text after spaces so that each piece fits on a line, where a space allows it."""
    pieces = [""]
    for word in re.findall(r"[^ ]* |[^ ]+", text):
        if pieces[-1] and cell_len(_quoted(pieces[-1] + word)) > WIDTH - 4:
            pieces.append("")
        pieces[-1] += word
    return pieces
