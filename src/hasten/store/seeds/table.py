"""A file of entries under keys. Reading loses nothing in it, and writing loses no entries of other writers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from hasten.errors import InputError
from hasten.files import save, save_bytes, updating
from hasten.store.seeds.keys import Key
from hasten.store.seeds.scan import place, read_text, scan

NAME = r'"\s*[(\[](?:[^"\\\n]|\\.)*"'
"""Matches a key. It begins with a bracket, unlike any field inside an entry."""


class Keyed(Protocol):
    """An entry. Its ``key`` has the methods, even where the file names them in the value."""

    @property
    def key(self) -> Key: ...


E = TypeVar("E", bound=Keyed)


class Table(ABC, Generic[E]):
    """Entries under keys. ``faults`` name file, line and entry of everything that could not be used.

    Entries that are JSON but make no sense are faults, and are written back unchanged.
    """

    def __init__(self) -> None:
        self.faults: tuple[str, ...] = ()
        self.damaged = False
        self._raw: dict[str, Any] = {}
        self._entries: dict[str, E] = {}
        self._changed: dict[str, None] = {}
        self._origin: Path | None = None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads the entries of a file, without damaged ones.

        Raises:
            InputError: the file cannot be read, is empty or no JSON object, or is damaged and holds no entry.
        """
        path = Path(path)
        text, undecoded = read_text(path)
        found = scan(text, str(path), NAME)
        if found.kind != "object":
            raise InputError(f"{path} holds a JSON list: an object with an entry a key was expected.")
        table, lost, faults = cls(), [*undecoded, *found.faults], []
        for item in found.items:
            where, name = place(str(path), item), item.name or ""
            if item.fault:
                lost.append(f"{where}: {item.fault}")
                continue
            lost += [f"{where}: the same key for a second time; this one is taken"] if name in table._raw else []
            faults += [f"{where}: {why}" for why in table._take(name, item.value)]
        table.damaged, table.faults = bool(lost), (*lost, *faults)
        if table.damaged and not table._raw:
            raise InputError(f"{path} holds no entry that can be read. {'; '.join(table.faults[:3])}.")
        table._origin, table._changed = path.resolve(), {}
        return table

    @property
    def entries(self) -> list[E]:
        """All entries that make sense, in the order of the file."""
        return list(self._entries.values())

    def merge_into(self, path: str | Path) -> tuple[str, ...]:
        """Writes the entries into a file and keeps what others wrote there. Afterwards this table has all of the
        entries.

        Into the file that it was read from, the table writes only what was added since; into another file it
        writes everything. A damaged file is first copied to ``<name>.damaged``.

        Returns:
            the faults that the file had before.

        Raises:
            InputError: the file cannot be written, or is of another kind.
        """
        path = Path(path)
        with updating(path):
            there = type(self).read(path) if _holds_something(path) else type(self)()
            if there.damaged:
                _keep_aside(path)
            own = self._origin == path.resolve()
            for text in self._raw if not own else self._changed:
                there._receive(text, self._raw[text], self._entries.get(text), added=text in self._changed)
            save(f"{json.dumps(there._raw, indent=4)}\n", path)
            self._origin = path.resolve()
        self._raw, self._entries, self._changed = there._raw, there._entries, {}
        self.faults, self.damaged = there.faults, False
        return there.faults

    @abstractmethod
    def _entry(self, key: Key, value: Any) -> E:
        """Returns the entry of a value as it was read. Raises InputError where it makes no sense."""

    def _yields(self, old: E, new: E) -> bool:
        """Returns whether a new entry of the same search replaces an old one."""
        return True

    def _put(self, key: Key, value: dict[str, Any]) -> None:
        """Adds an entry. It replaces entries of the same search, in whatever spelling."""
        self._receive(str(key), value, self._entry(key, value), added=True)

    def _receive(self, text: str, value: Any, entry: E | None, added: bool) -> None:
        """Takes over an entry, under its own text or, if it was added, under the text of the same search here."""
        same = [t for t, old in self._entries.items() if added and entry and old.key == entry.key]
        for spelling in same or [text]:
            old = self._entries.get(spelling)
            if old is None or (entry is not None and self._yields(old, entry)):
                self._take(spelling, value)

    def _take(self, text: str, value: Any) -> list[str]:
        """Keeps a value under the text of its key. Returns its faults."""
        self._raw[text] = value
        self._changed[text] = None
        self._entries.pop(text, None)
        try:
            self._entries[text] = self._entry(Key.parse(text), value)
        except InputError as error:
            return [str(error)]
        return []


def _holds_something(path: Path) -> bool:
    try:
        return bool(path.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Choose another place.") from None


def _keep_aside(path: Path) -> None:
    """Copies the file to a free name."""
    number, aside = 1, path.with_name(f"{path.name}.damaged")
    while aside.exists():
        number, aside = number + 1, path.with_name(f"{path.name}.damaged{number + 1}")
    save_bytes(path.read_bytes(), aside)
