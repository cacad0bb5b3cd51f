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
    """The entries of one package, a file each, and those that other packages add to it.

    A file ``deepcache.py`` in ``package`` is the entry ``deepcache``; the module holds the object itself
    under ``attribute``. ``base`` and files that begin with an underscore are no entries. Listing the
    names imports none of them.

    Another package adds an entry by an entry point of the group that is called as ``package`` is. It has the
    entry's name, and names the module, or the object itself. These are loaded to be listed, so that one which
    cannot be used is a warning, and is not among the names.

    Args:
        base: the entries' class.
        spellings: every word that means an entry. No package can take one that has a meaning already.
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
        """The names of all entries: hasten's own, sorted, then those of other packages, sorted."""
        return (*self._own(), *self._added())

    def requirement(self, name: str) -> str | None:
        """What has to be installed for the entry beside hasten; None where it is hasten's own."""
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
        """What each spelling of hasten's own entries means, simplified."""
        own = ((name, self._wanted.spellings(self._import(name))) for name in self._own())
        return {simplify(word): f"hasten's {name}" for name, words in own for word in words}

    def canonical(self, name: str) -> str:
        """The entry's name for any spelling of it (``T-Gate`` → ``tgate``).

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
        """The entry of that name, in any spelling. Raises UnknownNameError."""
        name = self.canonical(name)
        others = self._added()
        return others[name].entry if name in others else self._import(name)

    def all(self) -> tuple[T, ...]:
        """Every entry, in the order of the names."""
        return tuple(self.get(name) for name in self.names())


@cache
def _added(registry: Registry[Any], path: tuple[str, ...]) -> dict[str, Added[Any]]:
    """What other packages on the path add, looked for once."""
    return added(registry._wanted, registry._meanings)


@cache
def _entries(path: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a package's files that are entries: looked for once, names are asked for thousands of times."""
    found = (module.name for module in pkgutil.iter_modules(path))
    return tuple(sorted(n for n in found if n != "base" and not n.startswith("_")))
