"""What ``make test`` leaves to ``make test-full``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest


def rarely(where: bool = True) -> Sequence[pytest.MarkDecorator]:
    """The marks of a test that ``make test-full`` alone runs, where that is so.

    Example:
        >>> pytest.param("euler", marks=rarely(name not in OFTEN))
    """
    return (pytest.mark.full,) if where else ()


def star(*axes: Iterable[Any]) -> list[Any]:
    """All combinations of the axes' values, for ``parametrize``. ``make test`` runs every value: each of an axis
    with the first of the others. A value that is a tuple stands for several arguments.

    Example:
        >>> pytest.mark.parametrize(("family", "steps"), star(("sd", "sdxl"), (1, 2, 50)))
    """
    values = [tuple(axis) for axis in axes]
    firsts = [axis[0] for axis in values]
    return [
        pytest.param(*_flat(case), marks=rarely(sum(v is not f for v, f in zip(case, firsts, strict=True)) > 1))
        for case in product(*values)
    ]


def _flat(case: Iterable[Any]) -> list[Any]:
    return [part for value in case for part in (value if isinstance(value, tuple) else (value,))]
