"""All options of hasten, each declared once: its Python name, its flags, its meaning and its allowed values.

The command line builds its flags and their help from this table, and ``checked`` applies it to the keywords of
``run``, ``tune`` and the other functions. Importing this module imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from hasten.errors import InputError, nearest
from hasten.options.declaration import Option
from hasten.options.table import OPTIONS

__all__ = ["OPTIONS", "Option", "canonical", "checked", "option", "option_names"]

_BY_NAME = {one.name: one for one in OPTIONS}
_ALSO = {one.also: one.name for one in OPTIONS if one.also}


def option_names(holder: type) -> tuple[str, ...]:
    """Returns the fields of a dataclass that are options. Other fields are not given by users."""
    return tuple(f.name for f in fields(holder) if f.name in _BY_NAME)


def option(name: str) -> Option:
    """Returns the option of that keyword."""
    return _BY_NAME[name]


def canonical(keyword: str) -> str:
    """Returns the name of the option that a keyword stands for: ``max_time_s`` for ``max_time``."""
    return _ALSO.get(keyword, keyword)


def checked(
    given: Mapping[str, Any], among: Iterable[str] | None = None, beside: Iterable[str] = ()
) -> dict[str, Any]:
    """Returns the given options, under their canonical names and converted to the values that hasten uses.

    Args:
        given: values by keyword; None leaves the choice to the model or the machine.
        among: the names of the options that may be given; None: all.
        beside: the names of the caller's own arguments, which an unknown keyword may be meant for.

    Raises:
        InputError: a value is of a wrong kind or out of its range, or one is given under two names.
        TypeError: there is no such keyword.
    """
    known = tuple(_BY_NAME if among is None else among)
    found: dict[str, Any] = {}
    for keyword, value in given.items():
        name = canonical(keyword)
        if name not in known:
            raise TypeError(_unknown(keyword, (*beside, *known)))
        if name != keyword and given.get(name) is not None and value is not None:
            raise InputError(f"{keyword} and {name} are the same: give one of them.")
        if value is not None or name not in found:
            found[name] = None if value is None else _BY_NAME[name].read(keyword, value)
    return found


def _unknown(keyword: str, known: tuple[str, ...]) -> str:
    near = next((name for name in known if name.startswith(keyword)), None) or nearest(keyword, known)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"There is no option {keyword!r}.{hint} There are: {', '.join(known)}."
