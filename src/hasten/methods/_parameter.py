"""The parameters of methods: their kinds, ranges and grids. It imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hasten.errors import ParameterError
from hasten.plan import Value, step_list, steps_of

MAX_STEPS = 1000
"""The upper end of ranges that are limited by the number of steps, where that is not known."""

USUAL_STEPS = 25
"""The number of steps that defaults are meant for, where it is not known."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Example:
        >>> meaning = "the interval of steps at which the whole UNet runs"
        >>> Parameter("cache_interval", int, 1, 50, default=3, neutral=1, grid=(2, 3, 4, 5), meaning=meaning)

    Args:
        name: the name in plans.
        kind: int or float for numbers; str for a list of steps, or for names (see ``named``).
        low: the least legal number; for a list of steps, a step that every list must contain.
        high: the greatest legal number; for a list of steps, the last step, beyond which steps are dropped.
        default: the value where a plan gives none.
        neutral: the value with which the method does nothing; None where there is no such value.
        grid: the values that ``traversal`` tries, the mildest first.
        meaning: a short description for people.
        allowed: the legal values, where they are fewer than ``low`` to ``high``; for names, all names.
        lossy: the values with which an exact method is not exact. A lossless request tries none of them.
        ordered: whether each value of the grid is expected to be at least as fast as the values before it and no
            better in quality. Where it is not, a plan never rules out plans with another value.
    """

    name: str
    kind: type[int] | type[float] | type[str]
    low: int | float
    high: int | float
    default: Value
    neutral: Value | None
    grid: tuple[Value, ...]
    meaning: str
    allowed: tuple[Value, ...] | None = None
    ordered: bool = True
    lossy: tuple[Value, ...] = ()

    def legal(self, value: Value, owner: str) -> Value:
        """Returns the value, converted to the parameter's kind. Raises ParameterError where it is not legal; its
        sentence names the ``owner``, which is the method's title."""
        if self.kind is str:
            return self._legal_name(value, owner) if self.allowed else self._legal_steps(value, owner)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and self.low <= float(value) <= self.high and (self.kind is float or value == int(value))
        if not fits or (self.allowed is not None and value not in self.allowed):
            what = ", ".join(map(str, self.allowed)) if self.allowed else f"{self.low} to {self.high}"
            kind = "an integer" if self.kind is int else "a number"
            raise ParameterError(f"{owner}'s {self.name} is {value!r}: allowed is {kind}, {what}.")
        return self.kind(value)

    def _legal_name(self, value: Value, owner: str) -> Value:
        allowed = self.allowed or ()
        if value not in allowed or not isinstance(value, str):
            raise ParameterError(f"{owner}'s {self.name} is {value!r}: allowed is {', '.join(map(str, allowed))}.")
        return value

    def _legal_steps(self, value: Value, owner: str) -> Value:
        try:
            steps = [step for step in steps_of(value) if step <= self.high]
        except ValueError:
            steps = []
        if self.low not in steps:
            raise ParameterError(
                f"{owner}'s {self.name} is {value!r}: allowed is a list of steps with {self.low} in it, single "
                "ones and runs with colons between, such as 0-3:5:9."
            )
        return step_list(steps)


def cache_interval(what: str, steps: int | None) -> Parameter:
    """Returns the parameter ``cache_interval``, the interval of steps at which ``what`` runs."""
    most = steps or MAX_STEPS
    return Parameter(
        "cache_interval",
        int,
        low=1,
        high=most,
        default=min(3, most),
        neutral=1,
        grid=tuple(n for n in (2, 3, 4, 5) if n <= most),
        meaning=f"the interval of steps at which {what} runs; 1 means always",
    )


def at_shares(shares: Iterable[float], steps: int, least: int = 1) -> tuple[int, ...]:
    """Returns the given shares of ``steps``, rounded to whole steps, at least ``least``, without duplicates."""
    return tuple(dict.fromkeys(max(least, round(share * steps)) for share in shares))


def named(
    name: str,
    allowed: tuple[str, ...],
    meaning: str,
    default: str | None = None,
    neutral: str | None = None,
    lossy: tuple[str, ...] = (),
) -> Parameter:
    """Returns a parameter whose values are names, none stronger than another.

    The default is the first name that is not ``neutral``. The grid has all names but ``neutral``.
    """
    tried = tuple(value for value in allowed if value != neutral)
    more: dict[str, Any] = {"allowed": allowed, "ordered": False, "lossy": lossy}
    return Parameter(name, str, 0, 0, default or tried[0], neutral, tried, meaning, **more)
