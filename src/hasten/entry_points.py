"""Finds what other packages add by entry points. An unusable entry point causes a warning, never an error."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distribution, distributions
from inspect import get_annotations
from types import ModuleType
from typing import Any, Generic, TypeVar

from hasten.errors import simplify

T = TypeVar("T")
FILE = "entry_points.txt"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class EntryPointWarning(UserWarning):
    """An installed package adds something to hasten that cannot be used."""


class _UnfitError(Exception):
    """The reason why an entry point cannot be used, as a sentence without its full stop."""


@dataclass(frozen=True)
class Added(Generic[T]):
    """An entry that another package adds, and the requirement that brings it, such as ``hasten-skip>=1.2``."""

    entry: T
    requirement: str


@dataclass(frozen=True)
class Wanted(Generic[T]):
    """The requirements for the entry points of a group.

    Args:
        group: the group of the entry points, such as ``hasten.methods``.
        kind: the word for an entry in messages, such as ``method``.
        attribute: the module's attribute that holds the entry, where an entry point names a module.
        base: the entry's class.
        spellings: returns all words that mean an entry, including its name.
    """

    group: str
    kind: str
    attribute: str
    base: type[Any]
    spellings: Callable[[T], Collection[str]]


def added(wanted: Wanted[T], taken: Callable[[], Mapping[str, str]]) -> dict[str, Added[T]]:
    """Returns the entries of the installed packages by name, sorted. Warns of each entry that cannot be used.

    ``taken`` returns the simplified spellings that already have a meaning, each with its owner.
    """
    found: dict[str, Added[T]] = {}
    meanings: dict[str, str] = {}
    for package, point in sorted(_points(wanted.group), key=lambda pair: (pair[1].name, _name(pair[0]))):
        meanings = meanings or dict(taken())
        try:
            entry = _entry(wanted, point)
            _refuse_taken(wanted, entry, meanings)
        except _UnfitError as reason:
            told = f"The {wanted.kind} {point.name!r} ({point.value})"
            _warn(f"{told} of the package {_told(package)} is left out: {reason}.")
            continue
        found[point.name] = Added(entry, f"{_name(package)}>={package.version}")
        meanings |= {simplify(word): f"{_name(package)}'s {point.name}" for word in wanted.spellings(entry)}
    return found


def _points(group: str) -> Iterator[tuple[Distribution, EntryPoint]]:
    """Yields the group's entry points. There may be hundreds of packages, so only those whose file has the group
    are read closely."""
    seen: set[str] = set()
    for package in distributions():
        if f"[{group}]" not in (package.read_text(FILE) or "") or _told(package) in seen or _is_hidden(package):
            continue
        seen.add(_told(package))
        try:
            yield from ((package, point) for point in package.entry_points.select(group=group))
        except Exception as error:
            _warn(f"The {FILE} of the package {_told(package)} cannot be read: {_reason(error)}.")


def _is_hidden(package: Distribution) -> bool:
    """Returns whether another package of the same name is earlier on the path and hides this one from imports."""
    name = _name(package)
    return bool(name) and distribution(name).locate_file("") != package.locate_file("")


def _entry(wanted: Wanted[T], point: EntryPoint) -> T:
    """Loads the entry. Raises _UnfitError."""
    if not _NAME.fullmatch(point.name):
        raise _UnfitError("a name is lower-case letters, digits and underscores, and begins with a letter")
    try:
        loaded = point.load()
        entry = getattr(loaded, wanted.attribute) if isinstance(loaded, ModuleType) else loaded
    except (Exception, SystemExit) as error:
        raise _UnfitError(_reason(error)) from error
    if not isinstance(entry, wanted.base):
        what = f"the class {entry.__name__}" if isinstance(entry, type) else f"a {type(entry).__name__}"
        raise _UnfitError(f"it is {what}, and not an instance of {wanted.base.__module__}.{wanted.base.__name__}")
    if missing := [name for name in _attributes(wanted.base) if not hasattr(entry, name)]:
        raise _UnfitError(f"it has no {', no '.join(missing)}")
    if entry.name != point.name:
        raise _UnfitError(f"it calls itself {entry.name!r}")
    return entry


def _attributes(base: type) -> Iterator[str]:
    """Yields the attributes that a class declares."""
    for kind in base.__mro__:
        yield from (name for name in get_annotations(kind) if not name.startswith("_"))


def _refuse_taken(wanted: Wanted[T], entry: T, meanings: Mapping[str, str]) -> None:
    """Raises _UnfitError where one of the entry's words already has a meaning, which it keeps in requests."""
    try:
        words = wanted.spellings(entry)
    except Exception as error:
        raise _UnfitError(f"its names cannot be read: {_reason(error)}") from error
    for word in words:
        if owner := meanings.get(simplify(word)):
            raise _UnfitError(f"{word!r} means {owner} already")


def _name(package: Distribution) -> str:
    """Returns the package's name, or "" where its metadata lacks it."""
    try:
        return package.metadata["Name"] or ""
    except (OSError, KeyError, TypeError):  # there is no metadata: the error depends on Python's release
        return ""


def _told(package: Distribution) -> str:
    """Returns the package's name and version, or its folder where it has no name."""
    return f"{_name(package)} {package.version}" if _name(package) else f"in {package.locate_file('')}"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")


def _warn(message: str) -> None:
    hint = " hasten goes on without it: mend the package, or uninstall it."
    warnings.warn(message + hint, EntryPointWarning, stacklevel=2)
