"""Finds methods, model families and metrics by their files, and by other packages' entry points."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Collection
from functools import cache
from importlib import import_module
from typing import Any, Generic, TypeVar

from hasten.entry_points import Added, Wanted, added
from hasten.errors import UnknownNameError, simplify

T = TypeVar("T")


class Registry(Generic[T]):
    """The entries of one package, one file each, and the entries that other packages add to it.

    A file ``deepcache.py`` in ``package`` is the entry ``deepcache``, and its module holds the object itself under
    ``attribute``. ``base`` and files that begin with an underscore are not entries. Listing the names imports no
    entry.

    Another package adds an entry by an entry point in the group that is named like ``package``. The entry point
    has the entry's name, and refers to the module or to the object itself. These entries are loaded when they are
    listed; one that cannot be used causes a warning and is left out of the names.

    Args:
        base: the entries' class.
        spellings: returns all words that mean an entry. A package cannot take a word that already has a meaning.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        attribute: str,
        base: type[Any],
        spellings: Callable[[T], Collection[str]],
    ) -> None:
        self.kind, self.package, self.attribute = kind, package, attribute
        self._wanted = Wanted(package, kind, attribute, base, spellings)

    def names(self) -> tuple[str, ...]:
        """Returns the names of all entries: hasten's own, sorted, then those of other packages, sorted."""
        return (*self._own(), *self._added())

    def requirement(self, name: str) -> str | None:
        """Returns what has to be installed for the entry besides hasten, or None for an entry of hasten's own."""
        entry = self._added().get(self.canonical(name))
        return entry.requirement if entry else None

    def _own(self) -> tuple[str, ...]:
        return _entries(tuple(import_module(self.package).__path__))

    def _added(self) -> dict[str, Added[T]]:
        return _added(self, tuple(sys.path))

    def _import(self, name: str) -> T:
        entry: T = getattr(import_module(f"{self.package}.{name}"), self.attribute)
        return entry

    def _meanings(self) -> dict[str, str]:
        """Returns the meaning of each simplified spelling of hasten's own entries."""
        own = ((name, self._wanted.spellings(self._import(name))) for name in self._own())
        return {simplify(word): f"hasten's {name}" for name, words in own for word in words}

    def canonical(self, name: str) -> str:
        """Returns the entry's name for any spelling of it (``T-Gate`` → ``tgate``).

        Raises:
            UnknownNameError: no entry has that name.
        """
        if name in self.names():
            return name
        by_key = {simplify(n): n for n in self.names()}
        if simplify(name) not in by_key:
            raise UnknownNameError(self.kind, name, self.names())
        return by_key[simplify(name)]

    def get(self, name: str) -> T:
        """Returns the entry of that name, in any spelling. Raises UnknownNameError."""
        name = self.canonical(name)
        others = self._added()
        return others[name].entry if name in others else self._import(name)

    def all(self) -> tuple[T, ...]:
        """Returns every entry, in the order of the names."""
        return tuple(self.get(name) for name in self.names())


@cache
def _added(registry: Registry[Any], path: tuple[str, ...]) -> dict[str, Added[Any]]:
    """Returns what other packages on the path add. They are looked for once."""
    return added(registry._wanted, registry._meanings)


@cache
def _entries(path: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of a package's files that are entries. The result is cached, as names are needed often."""
    found = (module.name for module in pkgutil.iter_modules(path))
    return tuple(sorted(n for n in found if n != "base" and not n.startswith("_")))
