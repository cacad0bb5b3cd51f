"""What ``make test`` leaves to ``make test-full``."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def rarely(where: bool = True) -> Sequence[pytest.MarkDecorator]:
    """The marks of a test that ``make test-full`` alone runs, where that is so.

    Example:
        >>> pytest.param("euler", marks=rarely(name not in OFTEN))
    """
    return (pytest.mark.full,) if where else ()
