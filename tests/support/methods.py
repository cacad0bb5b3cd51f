"""Every method on every family that it is for, with a plan that has effect."""

from __future__ import annotations

from collections.abc import Callable
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
    cases = [(family, name) for family in FAMILIES for name in SUPPORTED[family] if fits(name)]
    first = {name: family for family, name in reversed(cases)}
    params = [pytest.param(f, n, id=f"{f}-{n}", marks=rarely(f != first[n])) for f, n in cases]
    return pytest.mark.parametrize(("family", "name"), params)
