"""Which steps to compute afresh: the lists that cost least by what was measured, by dynamic programming."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hasten.errors import InputError, MeasurementError, UnsupportedError
from hasten.measure.bench import Bench
from hasten.measure.contract import Measures
from hasten.measure.sensitivity import Sensitivity, measure_sensitivity
from hasten.methods.schedule import METHOD, SHARES
from hasten.plan import Value, step_list
from hasten.predict.space import Grids
from hasten.store import Store


def newly_measured(
    bench: Measures, store: Store, limit_s: float | None = None, report: Callable[[str], None] | None = None
) -> Grids:
    """The grids of the bench's setting, measured now and kept in the store.

    None, so that the methods' own grids are searched, where that cannot be measured, or not within ``limit_s``.
    """
    if not isinstance(bench, Bench):
        return {}
    try:
        found = measure_sensitivity(bench.pipeline, limit_s=limit_s, report=report)
    except (UnsupportedError, MeasurementError) as error:
        if report:
            report(f"the lists of steps are not measured ones: {error}")
        return {}
    store.keep_sensitivity(found)
    return measured_grids(found)


def measured_grids(found: Sensitivity) -> Grids:
    """The grids of the step schedule's lists, mildest first: of each length the list that costs least.

    A list whose reuse costs nothing, as that of guidance where there is none, keeps all steps.
    """
    lists = {"full_steps": found.full_steps, "guided_steps": found.guided_steps}
    return {(METHOD.name, name): _grid(costs) for name, costs in lists.items()}


def _grid(costs: Sequence[Sequence[float]]) -> tuple[Value, ...]:
    steps, by_count = len(costs), least_costly(costs)
    counts = dict.fromkeys(max(1, round(share * steps)) for share in SHARES) if any(map(any, costs)) else [steps]
    return tuple(step_list(by_count[steps - count]) for count in counts)


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
