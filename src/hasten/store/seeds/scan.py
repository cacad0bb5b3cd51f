"""Reads a JSON file entry by entry, so that a damaged entry does not affect the others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from hasten.errors import InputError

SHOWN = 100
DEEPEST = 100
"""The deepest allowed nesting of lists and objects. Tools that read the files afterwards have limits of their
own."""
MOST_DAMAGED = 1000
"""The number of damaged entries after which reading ends. Each needs a search for the next entry, so that their
number bounds the time."""
_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = r'"(?:[^"\\\n]|\\.)*"'


@dataclass(frozen=True)
class Item:
    """One entry. ``name`` is its key in an object, and None in a list. ``number`` counts from 1. ``fault`` is the
    reason why there is no value."""

    name: str | None
    number: int
    line: int
    value: Any = None
    fault: str = ""


@dataclass(frozen=True)
class Scan:
    """All entries, good and damaged, in the order of the file. ``faults`` are damages outside entries."""

    kind: Literal["object", "list"]
    items: tuple[Item, ...]
    faults: tuple[str, ...]


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """Returns the text of a file (UTF-8, or as its byte order mark says), and its faults in decoding.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist. Give the path of an existing file.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Give the path of a readable file.") from None
    return decode(data, str(path))


def decode(data: bytes, source: str) -> tuple[str, tuple[str, ...]]:
    """Decodes bytes, like ``read_text``. Raises InputError where there is no text."""
    encoding = json.detect_encoding(data)
    text, faults = data.decode(encoding, errors="replace"), []
    if not text.strip():
        raise InputError(f"{source} is empty. Give a file that holds something.")
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.append(f"{source} line {line}: bytes that are not {encoding}; save the file as UTF-8")
    return text, tuple(faults)


def scan(text: str, source: str, name: str = _STRING) -> Scan:
    """Returns the entries of the object or list in the text.

    After a damage, reading continues at the next place that looks like the beginning of an entry. Missing and
    superfluous commas do no damage.

    Args:
        text: JSON, perhaps damaged or cut off.
        source: the name of the text in messages.
        name: a pattern of the names in an object, so that a field inside a damaged entry is not taken for an
            entry.

    Raises:
        InputError: the text is neither an object nor a list.
    """
    return _Scanner(text, source, name).scan()


class _Scanner:
    def __init__(self, text: str, source: str, name: str) -> None:
        self.text, self.source = text, source
        self.at = _skip(text, 0)
        self.items: list[Item] = []
        self.faults: list[str] = []
        self.damaged, self.counted = 0, (0, 1)
        if text[self.at : self.at + 1] not in ("{", "["):
            raise InputError(
                f"{source} is no JSON file of entries: it begins with {text[self.at :][:20]!r}, not with {{ or [."
            )
        self.named = text[self.at] == "{"
        self.closer = "}" if self.named else "]"
        self.begin = name + r"\s*:" if self.named else r'[{"]'

    def scan(self) -> Scan:
        self.at = _skip(self.text, self.at + 1)
        while self.at < len(self.text) and self.text[self.at] != self.closer:
            if self.text[self.at] != ",":
                self._entry()
            else:
                self.at += 1
            self.at = _skip(self.text, self.at)
        self._end()
        return Scan("object" if self.named else "list", tuple(self.items), tuple(self.faults))

    def _entry(self) -> None:
        start, name = self.at, None
        try:
            if self.named:
                name = self._name()
            value, self.at = _DECODER.raw_decode(self.text, self.at)
            if depth(value) > DEEPEST:
                raise RecursionError
            self._separated()
        except RecursionError:
            self._damaged(start, name, "it is nested too deeply")
        except json.JSONDecodeError as error:
            self._damaged(start, name, f"{error.msg} (line {error.lineno}, column {error.colno})")
        except ValueError as error:  # e.g. a number of thousands of digits
            self._damaged(start, name, str(error))
        else:
            self.items.append(Item(name, len(self.items) + 1, self._line(start), value))

    def _name(self) -> str:
        if self.text[self.at] != '"':
            self._refuse("a name in double quotes was expected")
        name, after = _DECODER.raw_decode(self.text, self.at)
        after = _skip(self.text, after)
        if self.text[after : after + 1] != ":":
            self.at = after
            self._refuse(f"':' was expected after the name {shortened(name)}")
        self.at = _skip(self.text, after + 1)
        return str(name)

    def _separated(self) -> None:
        """Refuses an entry that is followed by something other than a comma, the end or another entry."""
        self.at = _skip(self.text, self.at)
        follows = self.text[self.at : self.at + 1]
        if follows not in ("", ",", self.closer) and not re.compile(self.begin).match(self.text, self.at):
            self._refuse(f"',' or {self.closer!r} was expected")

    def _refuse(self, why: str) -> NoReturn:
        raise json.JSONDecodeError(why, self.text, self.at)

    def _damaged(self, start: int, name: str | None, why: str) -> None:
        self.items.append(Item(name, len(self.items) + 1, self._line(start), fault=why))
        self.damaged += 1
        if self.damaged == MOST_DAMAGED:
            self.faults.append(f"{self.source}: {MOST_DAMAGED} entries are damaged; what follows is left out")
            self.at = len(self.text)
            return
        begin = r"\{" if self.text[start] == "{" else self.begin
        found = re.compile(rf"[,\n][^\S\n]*+(?={begin})").search(self.text, start + 1)
        self.at = found.end() if found else len(self.text)

    def _end(self) -> None:
        rest = self.text[self.at + 1 :].strip()
        line = self._line(self.at)
        if self.at >= len(self.text) and not (self.items and self.items[-1].fault):
            self.faults.append(f"{self.source} line {line}: the file ends before its closing {self.closer}")
        elif rest:
            self.faults.append(f"{self.source} line {line}: text after the closing {self.closer}, left out")

    def _line(self, position: int) -> int:
        """Returns the line of a position, counted from the previously requested position."""
        before, line = self.counted if self.counted[0] <= position else (0, 1)
        self.counted = (position, line + self.text.count("\n", before, position))
        return self.counted[1]


_DECODER = json.JSONDecoder()


def depth(value: Any) -> int:
    """Returns how deep lists and objects of JSON or YAML are nested, at most one more than is allowed."""
    deep, level = 0, [value]
    while level and deep <= DEEPEST:
        level = [each for one in level for each in _held(one)]
        deep += bool(level)
    return deep


def _held(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def place(source: str, item: Item) -> str:
    """Returns how a message names an entry: the file, the line, and the name or else the number."""
    return f"{source} line {item.line}, entry {shortened(item.name) if item.name is not None else item.number}"


def shortened(text: str) -> str:
    """Returns the text in quotes, cut after a hundred characters."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
