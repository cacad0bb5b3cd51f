"""Finds the lists of steps of least cost by dynamic programming, from the measured costs of reuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hasten.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def least_costly(costs: Sequence[Sequence[float]]) -> tuple[tuple[int, ...], ...]:
    """Returns for each number of steps, from all of them down to one, the steps of least cost. Step 0 is always
    among them.

    Args:
        costs: ``costs[s][r]`` is the cost of r steps after step s that reuse what it computed. Row s has one
            figure for each step from s on. The costs of several such runs of steps are assumed to add up.

    Raises:
        InputError: there are no steps, or a row has another length.
    """
    steps = len(costs)
    if not steps or any(len(row) != steps - step for step, row in enumerate(costs)):
        raise InputError(
            "The costs of reuse must have a row for each step, with a figure for each step from it on."
        )
    import numpy as np

    until = np.full((steps, steps + 1), np.inf)  # [s, e]: step s is computed, and the next computed one is e
    for step, row in enumerate(costs):
        until[step, step + 1 :] = row
    best, chosen = until[0], []
    for _ in range(steps - 1):
        sums = best[:steps, None] + until
        chosen.append(sums.argmin(axis=0))
        best = sums.min(axis=0)
    return tuple(_traced(chosen[:count], steps) for count in range(steps - 1, -1, -1))


def _traced(chosen: Sequence[np.ndarray], end: int) -> tuple[int, ...]:
    """Returns the steps that led to the least sum, from step 0 on."""
    found = []
    for steps in reversed(chosen):
        end = int(steps[end])
        found.append(end)
    return (0, *reversed(found))
