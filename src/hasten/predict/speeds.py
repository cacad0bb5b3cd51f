"""Predictors of speed for a search: the cost model from one profile, or a model that only learns from trials."""

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

MAX_DEVIATIONS = 2.0
"""The number of standard deviations by which a plan may exceed its prediction and still count as fast enough."""
EXPECTED, SPREAD = 0.7, 0.3
"""The log speedup expected of a space's strongest plan, and the standard deviation of each parameter's part in
it."""


class Predictor(Protocol):
    """The interface between the guided strategy and a cost model, such as
    ``hasten.predict.cost_model.CostModel``."""

    @property
    def baseline_s(self) -> float | None:
        """The baseline's predicted seconds a call. None where nothing was profiled: speeds are guesses until
        trials correct them."""

    def speedups(self, space: Space) -> Numbers:
        """Returns the speedup of every plan in the shape of the grid, NaN where there is no plan."""

    def deviations(self, space: Space) -> Numbers:
        """Returns the standard deviations of the true log speedups around the predicted ones, in the same
        shape."""

    def learn(self, trials: Iterable[Trial]) -> int:
        """Corrects the predictions by measured trials, and returns the number of trials that helped."""


def predictor_of(bench: Measures, store: Store, report: Callable[[str], None] | None = None) -> Predictor:
    """Returns the cost model of the bench's setting, or a ``Learned`` where the setting cannot be profiled."""
    if not isinstance(bench, Bench):
        return Learned()
    profile = store.profile()
    if profile is None:
        try:
            profile = profile_blocks(bench.pipeline, report=report)
        except (UnsupportedError, MeasurementError):
            # The first trial will report such a failure: the baseline fails there as well, or only a plan does.
            return Learned()
        store.keep_profile(profile)
    return CostModel(bench.pipe, profile, bench.setting.steps)


class Learned:
    """Speeds without a profile: the log speedup is a sum over parameters, each in proportion to its place on its
    axis."""

    baseline_s: float | None = None

    def __init__(self) -> None:
        self._measured: list[tuple[Plan, float, float]] = []
        self._fits: WeakKeyDictionary[Space, tuple[list[Numbers], Residual]] = WeakKeyDictionary()

    def speedups(self, space: Space) -> Numbers:
        """Returns what ``CostModel.speedups`` returns."""
        shares, residual = self._fitted(space)
        found = np.exp(_expected(shares) + residual.mean([np.ones(()), *shares]))
        return np.where(space.cells, found, np.nan)

    def deviations(self, space: Space) -> Numbers:
        """Returns what ``CostModel.deviations`` returns."""
        shares, residual = self._fitted(space)
        return np.where(space.cells, residual.deviation([np.ones(()), *shares]), np.nan)

    def learn(self, trials: Iterable[Trial]) -> int:
        """Does what ``CostModel.learn`` does."""
        timed = [(t.plan, t.latency) for t in trials if t.latency]
        scatter = scatter_of(latency for _, latency in timed)
        self._measured = [(plan, log_ratio(latency), error_of(latency, scatter)) for plan, latency in timed]
        self._fits.clear()
        return len(self._measured)

    def _fitted(self, space: Space) -> tuple[list[Numbers], Residual]:
        """Returns the place (0 to 1) of every cell on each axis, and the fitted residual of this space's
        trials."""
        if space not in self._fits:
            self._fits[space] = self._fit(space)
        return self._fits[space]

    def _fit(self, space: Space) -> tuple[list[Numbers], Residual]:
        shares = [_along(space, column) for column in range(len(space.axes))]
        residual = Residual([SPREAD] * (len(shares) + 1))
        own = [(space.index(plan), value, error) for plan, value, error in self._measured if space.holds(plan)]
        rows = [[float(np.broadcast_to(s, space.cells.shape)[at]) for s in shares] for at, _, _ in own]
        residuals = [value - float(_expected(row)) for row, (_, value, _) in zip(rows, own, strict=True)]
        features = np.array([[1.0, *row] for row in rows]).reshape(-1, len(shares) + 1)
        residual.fit(features, np.array(residuals), np.array([error for _, _, error in own]))
        return shares, residual


def _expected(shares: Sequence[Numbers | float]) -> Numbers:
    """Returns the log speedup that is expected before anything is measured."""
    return np.asarray(EXPECTED / max(len(shares), 1) * sum(shares, np.zeros(())))


def _along(space: Space, column: int) -> Numbers:
    """Returns 0 to 1 along one axis, in a shape that broadcasts to the grid's."""
    count = len(space.axes[column].values)
    shape = [count if i == column else 1 for i in range(len(space.axes))]
    return np.linspace(0.0 if count > 1 else 1.0, 1.0, count).reshape(shape)
