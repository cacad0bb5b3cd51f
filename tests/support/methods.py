"""Every method on every family that it is for, with a plan that has effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.contracts.expected import EXPECTED, SUPPORTED
from tests.support.marks import rarely

from hasten.testing.generating import FAMILIES

OFTEN = ("deepcache", "half_precision", "magcache", "schedule", "taylorseer", "tgate", "tome")
"""A method of each kind: what ``make test`` tries beside other things. test_contract.py has all methods."""


def plan_of(name: str) -> str:
    """The method with parameters that have effect at four steps."""
    return str(EXPECTED[name]["effective"])


def each_method(fits: Callable[[str], bool]) -> Any:
    """Parametrises ``family`` and ``name`` by all that fit. ``make test`` takes some, as ``_cases`` says."""
    params = [pytest.param(f, n, id=f"{f}-{n}", marks=rarely(not often)) for f, n, often in _cases(fits)]
    return pytest.mark.parametrize(("family", "name"), params)


def each_method_with(argument: str, values: Sequence[Any], fits: Callable[[str], bool]) -> Any:
    """The same with one argument more. ``make test`` takes the values in turn."""
    params = []
    for family, name, often in _cases(fits):
        for at, value in enumerate(values):
            turn = often and OFTEN.index(name) % len(values) == at
            told = f"{family}-{name}-{getattr(value, '__name__', value)}"
            params.append(pytest.param(family, name, value, id=told, marks=rarely(not turn)))
    return pytest.mark.parametrize(("family", "name", argument), params)


def _cases(fits: Callable[[str], bool]) -> list[tuple[str, str, bool]]:
    """Each family and method that fit, and whether ``make test`` takes them: those of ``OFTEN``, on a family that
    takes turns."""
    cases = [(family, name) for family in FAMILIES for name in SUPPORTED[family] if fits(name)]
    families = {name: [family for family, other in cases if other == name] for name in OFTEN}
    turn = {name: found[at % len(found)] for at, (name, found) in enumerate(families.items()) if found}
    return [(family, name, turn.get(name) == family) for family, name in cases]
