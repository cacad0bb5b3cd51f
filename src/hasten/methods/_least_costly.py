"""Which steps to compute afresh: the lists that cost least by what was measured, by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hasten.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def least_costly(costs: Sequence[Sequence[float]]) -> tuple[tuple[int, ...], ...]:
    """For each number of steps, from all of them down to one, those that cost least; step 0 is always among them.

    Args:
        costs: ``costs[s][r]``, what it costs that r steps after step s reuse what it computed; row s has as many
            figures as there are steps from s on. What several such runs of steps cost is taken to add up.

    Raises:
        InputError: there are no steps, or a row has another length.
    """
    steps = len(costs)
    if not steps or any(len(row) != steps - step for step, row in enumerate(costs)):
        raise InputError(
            "The costs of reuse must have a row for each step, with a figure for each step from it on."
        )
    import numpy as np

    until = np.full((steps, steps + 1), np.inf)  # [s, e]: step s is computed, the next one that is computed is e
    for step, row in enumerate(costs):
        until[step, step + 1 :] = row
    best, chosen = until[0], []
    for _ in range(steps - 1):
        sums = best[:steps, None] + until
        chosen.append(sums.argmin(axis=0))
        best = sums.min(axis=0)
    return tuple(_traced(chosen[:count], steps) for count in range(steps - 1, -1, -1))


def _traced(chosen: Sequence[np.ndarray], end: int) -> tuple[int, ...]:
    """The steps that led to the least sum, from the last one back to step 0."""
    found = []
    for steps in reversed(chosen):
        end = int(steps[end])
        found.append(end)
    return (0, *reversed(found))
