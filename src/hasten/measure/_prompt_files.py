"""Reads prompts from users' files: text, JSON, JSON lines, tables, or the captions file of COCO."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hasten.errors import InputError
from hasten.files import whole

KEYS = ("caption", "prompt", "text")
"""The names of an object's field, or a table's column, with the prompt, in upper or lower case. The first one
found counts."""


def read_prompts(path: Path) -> tuple[str, ...]:
    """Returns the prompts of a file in its order, without blank ones, with single spaces, each once.

    Two prompts that differ in case alone count as one, because the text encoders of CLIP read them alike.
    ``.json`` is a list of texts, or of objects with ``caption``, ``prompt`` or ``text``, or a captions file of
    COCO, of which the first caption of each image is taken. ``.jsonl`` has such a text or object on each line.
    ``.csv`` and ``.tsv`` have a column of one of those names. Any other file has one prompt a line.

    Raises:
        InputError: the path is a folder; or the file is not UTF-8 text, is damaged, has no such field or column,
            or has JSON under another ending.
    """
    read = READERS.get(path.suffix.lower(), _of_lines)
    once: dict[str, str] = {}
    for prompt in (" ".join(each.split()) for each in read(_text(path), path)):
        if prompt:
            once.setdefault(prompt.casefold(), prompt)
    return tuple(once.values())


def _text(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder. Give one file of prompts in it: text, {NAMED}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"The prompts in {str(path)!r} cannot be read as UTF-8 text: {error.reason} at byte {error.start}. "
            "Save the file as text in UTF-8."
        ) from None
    except OSError as error:
        raise InputError(f"The prompts in {str(path)!r} cannot be read: {error.strerror}.") from None
    if (place := text.find("\0")) >= 0:
        raise InputError(
            f"{str(path)!r} is no text: line {text.count(chr(10), 0, place) + 1} has a NUL byte in it. "
            f"Give a file of prompts: text in UTF-8, {NAMED}."
        )
    return text


def _of_lines(text: str, path: Path) -> Iterator[str]:
    """Returns the lines as prompts. Raises InputError for JSON, whose lines are not prompts."""
    if text.lstrip().startswith(("{", "[")):
        for kind, content in ((".json", text), (".jsonl", text.lstrip().splitlines()[0])):
            if isinstance(_parsed(content), dict | list):
                raise InputError(f"{str(path)!r} holds JSON: give the file a name that ends in {kind}.")
    return iter(text.splitlines())


def _of_json_lines(text: str, path: Path) -> Iterator[str]:
    def entries() -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise InputError(f"Line {number} of {str(path)!r} is no JSON: {error}. Mend it.") from None

    return _prompts(entries(), path, "Line")


def _of_table(text: str, path: Path) -> Iterator[str]:
    """Yields the cells of the column that a header names."""
    header = next((line for line in text.splitlines() if line.strip()), None)
    if header is None:
        return
    separator = "\t" if path.suffix.lower() == ".tsv" else ";" if ";" in header and "," not in header else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip().casefold() for name in next(row for row in rows if any(map(str.strip, row)))]
        column = next((names.index(key) for key in KEYS if key in names), None)
        if column is None:
            raise InputError(
                f"{str(path)!r} has no column of prompts: its first row is {header[:80]!r}. Allowed is a table "
                f"whose first row names a column {_any_of(KEYS)}; prompts alone, one a line, belong into a .txt."
            )
        for row in rows:
            if any(row) and len(row) <= column:
                raise InputError(
                    f"Line {rows.line_num} of {str(path)!r} has {len(row)} cells: its {names[column]} would be in "
                    f"cell {column + 1}. Put text that has commas in it into quotation marks."
                )
            yield row[column] if row else ""
    except csv.Error as error:
        raise InputError(
            f"Line {rows.line_num} of {str(path)!r} is no row of a table: {error}. Mend it."
        ) from None


def _parsed(text: str) -> Any:
    """Returns the JSON value of a text, or None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_json(text: str, path: Path) -> Iterator[str]:
    if not text.strip():
        return iter(())
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is no JSON: {error}. Mend it, or give a text file.") from None
    if isinstance(data, list):
        return _prompts(enumerate(data, 1), path)
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        return _prompts(_one_an_image(data["annotations"]), path)
    raise InputError(
        f"{str(path)!r} holds {_kind(data)}. Allowed is a list of texts, a list of objects with "
        f"{_any_of(KEYS)}, or a captions file of COCO ('annotations', each with a 'caption')."
    )


def _one_an_image(annotations: list[Any]) -> Iterator[tuple[int, Any]]:
    """Yields the first annotation of each image, with its position, and all annotations without an image."""
    seen = set()
    for place, entry in enumerate(annotations, 1):
        image = json.dumps(entry.get("image_id")) if isinstance(entry, dict) else "null"
        if image == "null" or image not in seen:
            seen.add(image)
            yield place, entry


def _prompts(entries: Iterable[tuple[int, Any]], path: Path, where: str = "Entry") -> Iterator[str]:
    for place, entry in entries:
        found = entry
        if isinstance(entry, dict):
            named = {name.casefold(): value for name, value in entry.items()}
            found = next((named[key] for key in KEYS if key in named), None)
        if not isinstance(found, str):
            raise InputError(
                f"{where} {place} of {str(path)!r} has no prompt: it is {_kind(entry)}. "
                f"Allowed is a text, or an object with a text as {_any_of(KEYS)}."
            )
        if whole(found) != found:
            raise InputError(f"{where} {place} of {str(path)!r} has half a character in it (a lone surrogate).")
        yield found


def _kind(value: Any) -> str:
    """Returns what a JSON value is, in words for the person who wrote it."""
    if isinstance(value, dict):
        keys = ", ".join(repr(str(key)[:20]) for key in list(value)[:5])
        return f"an object with {keys}" if value else "an empty object"
    return "a list" if isinstance(value, list) else repr(value)[:60]


def _any_of(names: Iterable[str]) -> str:
    *first, last = (repr(name) for name in names)
    return f"{', '.join(first)} or {last}"


READERS: dict[str, Callable[[str, Path], Iterator[str]]] = {
    ".json": _of_json,
    ".jsonl": _of_json_lines,
    ".ndjson": _of_json_lines,
    ".csv": _of_table,
    ".tsv": _of_table,
}
NAMED = ".json, .jsonl, .csv or .tsv"
"""Endings of file names that tell how a file is read."""
