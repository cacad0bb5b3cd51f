"""What a search knows of speeds before it measures: the cost model, from a profile that is taken once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from hasten.errors import MeasurementError, UnsupportedError
from hasten.measure.bench import Bench
from hasten.measure.blocks import profile_blocks
from hasten.measure.contract import Measures
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel
from hasten.predict.residual import Numbers, Residual
from hasten.predict.space import Space
from hasten.predict.timed_pairs import error_of, log_ratio, scatter_of
from hasten.records import Trial
from hasten.store import Store

WIDE = 2.0
"""Standard deviations over its prediction up to which a plan may be as fast as asked."""
EXPECTED, SPREAD = 0.7, 0.3
"""Log speedup that a space's strongest plan is expected to have, and how uncertain each parameter's part is."""


class Predictor(Protocol):
    """What the guided strategy asks of a cost model: ``hasten.predict.cost_model.CostModel``."""

    @property
    def baseline_s(self) -> float | None:
        """The baseline's predicted seconds a call; None where nothing was profiled: speeds are guesses then, until
        trials tell of them."""

    def speedups(self, space: Space) -> Numbers:
        """Of every plan, in the grid's shape; NaN where there is none."""

    def deviations(self, space: Space) -> Numbers:
        """Standard deviations of the true log speedups around these."""

    def learn(self, trials: Iterable[Trial]) -> int:
        """Corrects the predictions by what was measured."""


def predictor_of(bench: Measures, store: Store, report: Callable[[str], None] | None = None) -> Predictor:
    """The cost model of the bench's setting; where it cannot be profiled, one that only learns from trials."""
    if not isinstance(bench, Bench):
        return Learned()
    profile = store.profile()
    if profile is None:
        try:
            profile = profile_blocks(bench.pipeline, report=report)
        except (UnsupportedError, MeasurementError):
            # Of a failure the first trial tells: the baseline itself fails there too, or only a plan does.
            return Learned()
        store.keep_profile(profile)
    return CostModel(bench.pipe, profile, bench.setting.steps)


class Learned:
    """Speeds without a profile: each parameter adds to the log speedup by its share of its axis, as learned."""

    baseline_s: float | None = None

    def __init__(self) -> None:
        self._told: list[tuple[Plan, float, float]] = []
        self._fits: WeakKeyDictionary[Space, tuple[list[Numbers], Residual]] = WeakKeyDictionary()

    def speedups(self, space: Space) -> Numbers:
        """As ``CostModel.speedups``."""
        shares, residual = self._fitted(space)
        found = np.exp(_expected(shares) + residual.mean([np.ones(()), *shares]))
        return np.where(space.cells, found, np.nan)

    def deviations(self, space: Space) -> Numbers:
        """As ``CostModel.deviations``."""
        shares, residual = self._fitted(space)
        return np.where(space.cells, residual.deviation([np.ones(()), *shares]), np.nan)

    def learn(self, trials: Iterable[Trial]) -> int:
        """As ``CostModel.learn``."""
        known = [(Plan.parse(t.plan), t.latency) for t in trials if t.latency]
        scatter = scatter_of(latency for _, latency in known)
        self._told = [(plan, log_ratio(latency), error_of(latency, scatter)) for plan, latency in known]
        self._fits.clear()
        return len(self._told)

    def _fitted(self, space: Space) -> tuple[list[Numbers], Residual]:
        """The share of every cell on each axis, and what the trials of this space add to what was expected."""
        if space not in self._fits:
            self._fits[space] = self._fit(space)
        return self._fits[space]

    def _fit(self, space: Space) -> tuple[list[Numbers], Residual]:
        shares = [_along(space, column) for column in range(len(space.axes))]
        residual = Residual([SPREAD] * (len(shares) + 1))
        told = [(space.index(plan), value, error) for plan, value, error in self._told if space.holds(plan)]
        rows = [[float(np.broadcast_to(s, space.cells.shape)[at]) for s in shares] for at, _, _ in told]
        left = [value - float(_expected(row)) for row, (_, value, _) in zip(rows, told, strict=True)]
        features = np.array([[1.0, *row] for row in rows]).reshape(-1, len(shares) + 1)
        residual.fit(features, np.array(left), np.array([error for _, _, error in told]))
        return shares, residual


def _expected(shares: Sequence[Numbers | float]) -> Numbers:
    """The log speedup before anything is measured."""
    return np.asarray(EXPECTED / max(len(shares), 1) * sum(shares, np.zeros(())))


def _along(space: Space, column: int) -> Numbers:
    """0 to 1 along one axis, in a shape that broadcasts to the grid's."""
    count = len(space.axes[column].values)
    shape = [count if i == column else 1 for i in range(len(space.axes))]
    return np.linspace(0.0 if count > 1 else 1.0, 1.0, count).reshape(shape)
