"""Every method on every family that it is for, with a plan that has effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.contracts.expected import EXPECTED, SUPPORTED
from tests.support.marks import rarely

from hasten.testing.generating import FAMILIES


def plan_of(name: str) -> str:
    """The method with parameters that have effect at four steps."""
    return str(EXPECTED[name]["effective"])


def each_method(fits: Callable[[str], bool]) -> Any:
    """Parametrises ``family`` and ``name`` by all that fit. ``make test`` takes each method on one family."""
    params = [pytest.param(f, n, id=f"{f}-{n}", marks=rarely(not often)) for f, n, often in _cases(fits)]
    return pytest.mark.parametrize(("family", "name"), params)


def each_method_with(argument: str, values: Sequence[Any], fits: Callable[[str], bool]) -> Any:
    """The same with one argument more. ``make test`` takes each method with one of the values, in turn."""
    params, names = [], list(dict.fromkeys(name for _, name, _ in _cases(fits)))
    for family, name, often in _cases(fits):
        for at, value in enumerate(values):
            turn = names.index(name) % len(values) == at
            told = f"{family}-{name}-{getattr(value, '__name__', value)}"
            params.append(pytest.param(family, name, value, id=told, marks=rarely(not (often and turn))))
    return pytest.mark.parametrize(("family", "name", argument), params)


def _cases(fits: Callable[[str], bool]) -> list[tuple[str, str, bool]]:
    """Each family and method that fit, and whether the family is the method's turn."""
    cases = [(family, name) for family in FAMILIES for name in SUPPORTED[family] if fits(name)]
    names = list(dict.fromkeys(name for _, name in cases))
    families = {name: [family for family, other in cases if other == name] for name in names}
    turn = {name: families[name][at % len(families[name])] for at, name in enumerate(names)}
    return [(family, name, family == turn[name]) for family, name in cases]
