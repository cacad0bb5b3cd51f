"""Finds methods, model families and metrics by looking at the files of their folder: no list to edit."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Generic, TypeVar

from hasten.errors import UnknownNameError, simplify

T = TypeVar("T")


class Registry(Generic[T]):
    """The entries of one package, a file each.

    A file ``deepcache.py`` in ``package`` is the entry ``deepcache``; the module holds the object itself
    under ``attribute``. ``base`` and files that begin with an underscore are no entries. Listing the
    names imports nothing.
    """

    def __init__(self, kind: str, package: str, attribute: str) -> None:
        self.kind, self.package, self.attribute = kind, package, attribute

    def names(self) -> tuple[str, ...]:
        """The names of all entries, sorted."""
        return _entries(tuple(import_module(self.package).__path__))

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
        module = import_module(f"{self.package}.{self.canonical(name)}")
        entry: T = getattr(module, self.attribute)
        return entry

    def all(self) -> tuple[T, ...]:
        """Every entry, in the order of the names."""
        return tuple(self.get(name) for name in self.names())


@cache
def _entries(path: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a package's files that are entries: looked for once, names are asked for thousands of times."""
    found = (module.name for module in pkgutil.iter_modules(path))
    return tuple(sorted(n for n in found if n != "base" and not n.startswith("_")))
