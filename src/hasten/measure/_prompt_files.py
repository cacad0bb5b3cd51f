"""Reads prompts out of people's files: text, JSON, or the captions file of COCO."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hasten.errors import InputError
from hasten.files import whole

KEYS = ("caption", "prompt", "text")
"""Where an object of a JSON list has its prompt; the first that it has counts."""


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of a file in its order: blank ones left out, white space made single spaces, each once.

    Two that differ in case alone are one prompt, for the text encoders of CLIP read them alike. ``.json`` is a
    list of texts, or of objects with ``caption``, ``prompt`` or ``text``, or a captions file of COCO, of which
    the first caption of each image counts. Any other file has one prompt a line.

    Raises:
        InputError: a folder, not UTF-8 text, damaged JSON, or JSON with something else in it.
    """
    text = _text(path)
    found = _of_json(text, path) if path.suffix.lower() == ".json" else text.splitlines()
    once: dict[str, str] = {}
    for prompt in (" ".join(each.split()) for each in found):
        if prompt:
            once.setdefault(prompt.casefold(), prompt)
    return tuple(once.values())


def _text(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder. Give one file of prompts in it: text, or .json.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"The prompts in {str(path)!r} cannot be read as UTF-8 text: {error.reason} at byte {error.start}. "
            "Save the file as text in UTF-8."
        ) from None
    except OSError as error:
        raise InputError(f"The prompts in {str(path)!r} cannot be read: {error.strerror}.") from None


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
    """The first annotation of each image, with its place; those without an image all of them."""
    seen = set()
    for place, entry in enumerate(annotations, 1):
        image = json.dumps(entry.get("image_id")) if isinstance(entry, dict) else "null"
        if image == "null" or image not in seen:
            seen.add(image)
            yield place, entry


def _prompts(entries: Iterable[tuple[int, Any]], path: Path) -> Iterator[str]:
    for place, entry in entries:
        found = entry
        if isinstance(entry, dict):
            found = next((entry[key] for key in KEYS if key in entry), None)
        if not isinstance(found, str):
            raise InputError(
                f"Entry {place} of {str(path)!r} has no prompt: it is {_kind(entry)}. "
                f"Allowed is a text, or an object with a text as {_any_of(KEYS)}."
            )
        if whole(found) != found:
            raise InputError(f"Entry {place} of {str(path)!r} has half a character in it (a lone surrogate).")
        yield found


def _kind(value: Any) -> str:
    """What a JSON value is, for the person who wrote it."""
    if isinstance(value, dict):
        keys = ", ".join(repr(str(key)[:20]) for key in list(value)[:5])
        return f"an object with {keys}" if value else "an empty object"
    return "a list" if isinstance(value, list) else repr(value)[:60]


def _any_of(names: Iterable[str]) -> str:
    *first, last = (repr(name) for name in names)
    return f"{', '.join(first)} or {last}"
