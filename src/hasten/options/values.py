"""Reads the value of an option, from Python or from a flag's text. Errors say in a sentence what is wrong."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hasten.errors import InputError, UnknownNameError

UNITS = {"s": 1, "m": 60, "h": 3600}
AUTO = "auto"
"""The value that leaves a number to what is measured on this machine."""


@dataclass(frozen=True)
class Range:
    """The numbers that an option accepts: from ``low`` to ``high``. ``above`` excludes ``low`` itself."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    multiple: int = 1

    def holds(self, number: float) -> bool:
        inside = self.low < number <= self.high if self.above else self.low <= number <= self.high
        return math.isfinite(number) and inside and (self.multiple == 1 or number % self.multiple == 0)

    def __str__(self) -> str:
        several = f", a multiple of {self.multiple}" if self.multiple > 1 else ""
        if self.above:
            most = f" and at most {self.high:g}" if self.high < math.inf else ""
            return f"more than {self.low:g}{most}{several}"
        if self.high == math.inf:
            return f"at least {self.low:g}{several}"
        return f"from {self.low:g} to {self.high:g}{several}"


Reader = Callable[[str, Any], Any]
"""Takes an option's name and a value. Returns the value as hasten uses it, or raises InputError."""


def whole(allowed: Range, word: str = "") -> Reader:
    """Returns a reader of whole numbers: ``25``, ``25.0`` and the text ``"25"`` are the same. ``word``, where
    there is one, is accepted beside them."""
    beside = f", or {word}" if word else ""

    def read(name: str, value: Any) -> int | str:
        if word and value == word:
            return word
        number = _number(value)
        if number is None or number != int(number):
            raise InputError(f"{name} is {_shown(value)}: it must be a whole number, {allowed}{beside}.")
        if not allowed.holds(number):
            raise InputError(f"{name} is {int(number)}: it must be {allowed}{beside}.")
        return int(number)

    return read


def number(allowed: Range, unit: str = "", none: str = "") -> Reader:
    """Returns a reader of numbers. In a text ``unit`` may follow: ``2.5x``. The word ``none`` stands for None."""

    def read(name: str, value: Any) -> float | None:
        if none and value == none:
            return None
        text = value.strip().removesuffix(unit) if isinstance(value, str) and unit else value
        found = _number(text)
        if found is None:
            raise InputError(f"{name} is {_shown(value)}: it must be a number, {allowed}.")
        if not allowed.holds(found):
            raise InputError(f"{name} is {found:g}: it must be {allowed}.")
        return found

    return read


def seconds(allowed: Range) -> Reader:
    """Returns a reader of seconds, given as a number or as text: ``90``, ``90s``, ``10m``, ``1.5h``."""

    def read(name: str, value: Any) -> float:
        found = duration(value)
        if found is None:
            raise InputError(f"{name}: {_shown(value)} is no time. Write seconds, minutes or hours: 90s, 10m, 2h.")
        if not allowed.holds(found):
            raise InputError(f"{name} is {found:g} s: it must be {allowed} seconds.")
        return found

    return read


def duration(value: Any) -> float | None:
    """Returns the seconds of a number or of a time as text, or None where the value is neither."""
    if not isinstance(value, str):
        return _number(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", value)
    return float(match[1]) * UNITS[match[2] or "s"] if match else None


def text(name: str, value: Any) -> str:
    """Reads text, or a path."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name} is {_shown(value)}: it must be text that is not empty.")
    return value


def one_of(allowed: Sequence[str], kind: str) -> Reader:
    """Returns a reader that accepts one of these names."""

    def read(name: str, value: Any) -> str:
        if value not in allowed:
            raise UnknownNameError(kind, value if isinstance(value, str) else _shown(value), allowed)
        return str(value)

    return read


def names(name: str, value: Any) -> tuple[str, ...] | None:
    """Reads names, from a list or from text with commas or plus signs: ``deepcache,tome``. ``any`` becomes None,
    and ``none`` becomes an empty tuple."""
    if value in ("any", "none"):
        return None if value == "any" else ()
    listed = re.split(r"[,+]", value) if isinstance(value, str) else value
    if not isinstance(listed, Sequence) or not all(isinstance(one, str) for one in listed):
        raise InputError(
            f"{name} is {_shown(value)}: give names, such as ['deepcache', 'tome'], or 'deepcache,tome'."
        )
    found = tuple(one.strip() for one in listed if one.strip())
    if not found:
        raise InputError(f"{name} is empty: name at least one, or leave it out for any that support the pipeline.")
    return found


def prompts(name: str, value: Any) -> str | tuple[str, ...]:
    """Reads prompts: the name of a built-in set or of a file, or a list of the prompts themselves."""
    if isinstance(value, str | os.PathLike):
        return text(name, value)
    if not isinstance(value, Sequence) or not value or not all(isinstance(one, str) for one in value):
        raise InputError(
            f"{name} is {_shown(value)}: give a list of prompts, a file of them, or a built-in set by its name."
        )
    return tuple(value)


def limits(name: str, value: Any) -> float | dict[str, float]:
    """Reads one limit for the loss of the CLIP score, or limits by metric."""
    if isinstance(value, Mapping):
        return {str(metric): _limit(f"the limit of {metric} in {name}", limit) for metric, limit in value.items()}
    return _limit(name, value)


def function(name: str, value: Any) -> Any:
    """Returns a function that is called as the work goes on; None stands for no call."""
    if value is not None and not callable(value):
        raise InputError(f"{name} is {_shown(value)}: it must be a function of one argument, or None.")
    return value


def path(name: str, value: Any) -> str:
    """Returns a path as text."""
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise InputError(f"{name} is {_shown(value)}: it must be a path, as text or as pathlib.Path.")
    return os.fspath(value)


def several(name: str, value: Any, kinds: tuple[type, ...], what: str) -> list[Any]:
    """Returns a list of values of these kinds; one value alone is a list of one."""
    if isinstance(value, kinds):
        return [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise InputError(f"{name} is {_shown(value)}: give {what}, or a list of such.")
    if odd := [one for one in value if not isinstance(one, kinds)]:
        raise InputError(f"{name} holds {_shown(odd[0])}: give {what}, or a list of such.")
    return list(value)


def switch(name: str, value: Any) -> bool:
    """Reads True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {_shown(value)}: it must be True or False.")
    return value


def _limit(name: str, value: Any) -> float:
    found = _number(value)
    if found is None or not 0 <= found <= 1:
        raise InputError(f"{name} is {_shown(value)}: it must be a number, from 0 to 1, as in 0.02.")
    return found


def _number(value: Any) -> float | None:
    """Returns the value as a number, also from text, or None where it is not a finite number."""
    if isinstance(value, bool) or (not isinstance(value, str | int | float) and not hasattr(value, "__float__")):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _shown(value: Any) -> str:
    """Returns a value as a message shows it: long ones are cut after 79 characters."""
    written = repr(value)
    return written if len(written) <= 80 else f"{written[:79]}…"
