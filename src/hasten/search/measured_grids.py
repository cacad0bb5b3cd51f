"""The grids that methods measured in the setting, read from the store or measured now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from hasten.errors import MeasurementError, UnsupportedError
from hasten.measure.bench import Bench
from hasten.measure.contract import Measures
from hasten.measure.grids import MeasuredGrid, measure_grid
from hasten.methods import METHODS, MeasuresGrid
from hasten.predict.space import Grids, Space
from hasten.store import Store


def measuring(spaces: Iterable[Space]) -> tuple[MeasuresGrid, ...]:
    """Returns the methods of these spaces that measure their grids."""
    names = dict.fromkeys(name for space in spaces for name in space.methods)
    return tuple(method for method in map(METHODS.get, names) if isinstance(method, MeasuresGrid))


def kept_grids(store: Store, methods: Iterable[MeasuresGrid]) -> Grids:
    """Returns the grids whose measurements the store has."""
    kept = ((method, store.measured(method.kept_as)) for method in methods)
    return {key: values for method, found in kept if found for key, values in _grid(method, found).items()}


def newly_measured(
    bench: Measures,
    store: Store,
    methods: Iterable[MeasuresGrid],
    limit_s: float | None = None,
    report: Callable[[str], None] | None = None,
) -> Grids:
    """Measures the grids that the store does not have, stores them, and returns them.

    A method is left out where its grid cannot be measured, or not within what is left of ``limit_s`` seconds. The
    grid of its parameters is searched then.
    """
    missing = [method for method in methods if store.measured(method.kept_as) is None]
    if not isinstance(bench, Bench):
        return {}
    until = None if limit_s is None else time.monotonic() + limit_s
    grids: Grids = {}
    for method in missing:
        left_s = None if until is None else until - time.monotonic()
        try:
            found = measure_grid(bench.pipeline, method, limit_s=left_s, report=report)
        except (UnsupportedError, MeasurementError) as error:
            if report:
                report(f"the grid of {method.title} is not a measured one: {error}")
            continue
        store.keep_measured(method.kept_as, found)
        grids = {**grids, **_grid(method, found)}
    return grids


def _grid(method: MeasuresGrid, found: MeasuredGrid) -> Grids:
    measured = method.measured_grid(found.found, found.steps)
    return {(method.name, parameter): values for parameter, values in measured.items()}
