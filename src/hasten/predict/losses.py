"""Predicts the losses of plans from the plans that were measured, by a Gaussian process for each limited
metric."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hasten.limits import Limits
from hasten.plan import Plan
from hasten.predict.residual import Numbers
from hasten.predict.shared_errors import Measured, estimates
from hasten.predict.space import Space
from hasten.records import Loss, Trial

SCALES = (0.5, 1.0, 2.0, 4.0)
"""Candidates for the standard deviation of the loss around its trend, in limits."""
LENGTHS = (0.4, 0.8, 1.6)
"""Candidates for the distance along the axes (each 0 to 1) over which losses are correlated.

All pairs of scale and length are weighted by how well they explain the measured losses, because the likeliest pair
alone would be much too sure after a few trials.
"""
UNLIKELY = 2.0
"""The difference in log likelihood to the likeliest pair from which a pair is ignored."""
STRONGEST = 3.0
"""The expected loss, in limits, of a space's strongest plan before any is measured."""
OTHER_SETTING_SD = 0.4
"""Standard deviation, in limits, between a plan's losses with different schedulers or numbers of steps."""
LEAST_ERROR = 0.05
"""The least error of a measured loss, in limits: few prompts never show a loss more surely."""
Z_95 = 1.96
PRESENCE = ""
"""The name, in the place of a parameter's, for the feature that tells whether a plan has the method at all."""


@dataclass(frozen=True)
class Features:
    """The features of plans: their places on the axes of all spaces, from 0 (mildest) to 1 (strongest).

    A plan is at 0 on the axes of methods that it lacks. Where there are several spaces, each method has one more
    axis, with 1 where the plan has it, because even its mildest values may lose something. The last feature is the
    logarithm of the predicted speedup, scaled so that the greatest is 1.
    """

    axes: tuple[tuple[str, str], ...]
    fastest: float

    @classmethod
    def of(cls, spaces: Sequence[Space], speedups: Sequence[Numbers]) -> Features:
        names = dict.fromkeys((axis.method, axis.name) for space in spaces for axis in space.axes)
        if len(spaces) > 1:
            names |= dict.fromkeys((method, PRESENCE) for space in spaces for method in space.methods)
        top = max((float(np.nanmax(s)) for s in speedups if s.size), default=math.e)
        return cls(tuple(names), max(math.log(max(top, 1.0)), 0.1))

    def __call__(self, space: Space, cells: npt.NDArray[np.int64], speedups: Numbers) -> Numbers:
        """Returns the features, (n, features), of plans at the indices ``cells``, (n, axes), with the predicted
        ``speedups``, (n,)."""
        found = np.zeros((len(cells), len(self.axes) + 1))
        for column, axis in enumerate(space.axes):
            share = cells[:, column] / max(len(axis.values) - 1, 1)
            # On an axis of one value, the plan is as strong as it can be.
            found[:, self.axes.index((axis.method, axis.name))] = share if len(axis.values) > 1 else 1.0
        for method in space.methods:
            if (method, PRESENCE) in self.axes:
                found[:, self.axes.index((method, PRESENCE))] = 1.0
        found[:, -1] = np.log(np.maximum(speedups, 1e-9)) / self.fastest
        return found


class Surrogate:
    """The loss of one metric as a function of the plan, in limits and compressed beyond the limit, where size
    matters less.

    It is the sum of a linear trend (stronger plans are expected to lose more, before anything is measured) and a
    smooth deviation from it (Matérn 5/2). The error of every measured loss is known from its interval: Rasmussen,
    Williams, Gaussian Processes for Machine Learning, 2006, 2.2 and 2.7.
    """

    def __init__(self, limit: float) -> None:
        self.limit = max(limit, 1e-4)

    def fit(self, features: Numbers, measured: Sequence[tuple[Trial, Loss]], off: Sequence[float]) -> None:
        """Learns from features (n, features) and n losses, and forgets what it learned before.

        ``off`` has the standard deviations of further errors of the losses, in limits and compressed.
        """
        losses, covariance = estimates([self._measured(trial, loss) for trial, loss in measured])
        noise = covariance + np.diag(np.array(off) ** 2)
        kernels = {length: _kernel(features, features, length) for length in LENGTHS}
        fits = [
            _Fit.of(features, losses, noise, kernels[length], scale, length)
            for scale, length in itertools.product(SCALES, LENGTHS)
        ]
        likeliest = max(fit.log_likelihood for fit in fits)
        self._fits = [fit for fit in fits if fit.log_likelihood > likeliest - UNLIKELY]

    def _measured(self, trial: Trial, loss: Loss) -> Measured:
        """Returns the loss in limits, compressed."""
        share = loss.loss / self.limit
        scale = 1 / self.limit / max(1.0, abs(share))
        return Measured(trial, loss, _compressed(share), max(_error(loss) * scale, LEAST_ERROR), scale)

    def predictions(self, features: Numbers) -> Iterator[tuple[float, Numbers, Numbers]]:
        """Yields for each likely pair of scale and length its probability, and the mean and standard deviation of
        the loss.

        Losses are in limits and compressed.
        """
        weights = np.exp([fit.log_likelihood - self._fits[0].log_likelihood for fit in self._fits])
        fitted = self._fits[0].features
        across = {length: _kernel(features, fitted, length) for length in {fit.length for fit in self._fits}}
        own = _variances(features)
        for share, fit in zip(weights / weights.sum(), self._fits, strict=True):
            yield float(share), *fit.predict(features, across[fit.length], own)

    def predict(self, features: Numbers) -> tuple[Numbers, Numbers]:
        """Returns the mean and the standard deviation of the loss in limits, compressed."""
        found = list(self.predictions(features))
        mean = np.asarray(sum(share * m for share, m, _ in found))
        square = np.asarray(sum(share * (m**2 + d**2) for share, m, d in found))
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-6))

    def inside(self, features: Numbers, two_sided: bool) -> Numbers:
        """Returns the probability that the loss is below the limit or, two-sided, between minus the limit and the
        limit."""
        total = np.zeros(len(features))
        for share, mean, deviation in self.predictions(features):
            found = normal_cdf((1 - mean) / deviation)
            total += share * (found - normal_cdf((-1 - mean) / deviation) if two_sided else found)
        return total


@dataclass(frozen=True)
class _Fit:
    """A Gaussian process of one scale and length, with the log likelihood that it gives the measured losses."""

    features: Numbers
    scale: float
    length: float
    root: Numbers
    weights: Numbers
    log_likelihood: float

    @classmethod
    def of(
        cls, features: Numbers, losses: Numbers, noise: Numbers, kernel: Numbers, scale: float, length: float
    ) -> _Fit:
        """Fits features (n, features) and losses (n,), given the covariances of their errors (n, n) and their
        kernel (n, n)."""
        root: Numbers = np.asarray(np.linalg.cholesky(scale**2 * kernel + noise), np.float64)
        whitened = np.linalg.solve(root, losses - _trend(features))
        likelihood = -0.5 * float(whitened @ whitened) - float(np.log(np.diag(root)).sum())
        return cls(features, scale, length, root, np.linalg.solve(root.T, whitened), likelihood)

    def predict(self, features: Numbers, across: Numbers, own: Numbers) -> tuple[Numbers, Numbers]:
        """Returns mean and standard deviation at m features.

        ``across``, (m, n), is their kernel with the fitted features, and ``own``, (m,), are their variances, both
        at scale 1.
        """
        across = self.scale**2 * across
        explained = np.linalg.solve(self.root, across.T)
        variance = self.scale**2 * own - (explained**2).sum(axis=0)
        return _trend(features) + across @ self.weights, np.sqrt(np.maximum(variance, 1e-6))


class Quality:
    """Predicts how likely plans are to keep all limits, from the losses that trials and verdicts measured."""

    def __init__(self, limits: Limits, spaces: Sequence[Space], speedups: Sequence[Numbers]) -> None:
        self.limits, self._spaces = limits, spaces
        self._features = Features.of(spaces, speedups)
        self._surrogates = {metric: Surrogate(limit) for metric, limit in limits.items()}
        self._speedups = {space.methods: found for space, found in zip(spaces, speedups, strict=True)}

    def learn(self, trials: Iterable[Trial], other_settings: Iterable[Trial] = ()) -> None:
        """Learns from the scored trials, which replace those of an earlier call.

        ``other_settings`` are trials with other schedulers and numbers of steps. They are trusted less, and only
        used for plans that are not scored here.
        """
        here = [t for t in trials if self._scored(t)]
        plans = {t.plan for t in here}
        told = [(t, 0.0) for t in here]
        told += [(t, OTHER_SETTING_SD) for t in other_settings if self._scored(t) and t.plan not in plans]
        rows = [self._row(t.plan) for t, _ in told]
        kept = [(row, t, off) for row, (t, off) in zip(rows, told, strict=True) if row is not None]
        features = np.array([row for row, _, _ in kept]).reshape(-1, len(self._features.axes) + 1)
        for metric, surrogate in self._surrogates.items():
            measured = [(t, t.losses[metric]) for _, t, _ in kept]
            surrogate.fit(features, measured, [off for _, _, off in kept])

    def _scored(self, trial: Trial) -> bool:
        return trial.status == "ok" and set(self.limits) <= trial.losses.keys()

    def inside(self, space: Space, cells: npt.NDArray[np.int64], speedups: Numbers) -> Numbers:
        """Returns the probability that each plan keeps every limit, (n,), from indices (n, axes) and speedups
        (n,)."""
        features = self._features(space, cells, speedups)
        found = [s.inside(features, self.limits.two_sided) for s in self._surrogates.values()]
        return np.prod(found, axis=0)

    def excess(self, space: Space, cells: npt.NDArray[np.int64], speedups: Numbers) -> tuple[Numbers, Numbers]:
        """Returns the mean and the standard deviation, in limits, of the loss that has the highest mean of all
        metrics."""
        features = self._features(space, cells, speedups)
        found = [surrogate.predict(features) for surrogate in self._surrogates.values()]
        means, deviations = np.array([m for m, _ in found]), np.array([d for _, d in found])
        worst = means.argmax(axis=0)[None]
        return np.take_along_axis(means, worst, 0)[0], np.take_along_axis(deviations, worst, 0)[0]

    def _row(self, plan: Plan) -> Numbers | None:
        space = next((s for s in self._spaces if s.holds(plan)), None)
        if space is None:
            return None
        cell = np.array([space.index(plan)])
        return self._features(space, cell, self._speedups[space.methods][tuple(cell.T)])[0]


def _compressed(loss: float) -> float:
    """Returns a loss, in limits, unchanged up to 1 on either side, and as 1 + log beyond that."""
    return loss if abs(loss) <= 1 else math.copysign(1 + math.log(abs(loss)), loss)


def _error(loss: Loss) -> float:
    """Returns the standard error that follows from the loss's interval."""
    low, high = loss.interval
    return (high - low) / 2 / Z_95


def _trend(features: Numbers) -> Numbers:
    """Returns the loss that is expected before anything is measured, in proportion to the predicted log
    speedup."""
    return STRONGEST * features[:, -1]


def _kernel(one: Numbers, other: Numbers, length: float) -> Numbers:
    """Returns the covariance of trends and deviations at scale 1, (n, m).

    Half of a deviation is a sum over features, so that what is learned of a method's parameter holds beside any
    other method. The other half depends on all features together, because in T-GATE all parameters decide together
    which steps are left.
    """
    count = one.shape[1]
    alone = sum(_matern(np.abs(one[:, [c]] - other[:, c]) / length) for c in range(count)) / count
    together = _matern(np.sqrt(np.maximum(_squares(one, other), 0)) / length)
    return np.asarray(one @ other.T / count + alone + together)


def _variances(features: Numbers) -> Numbers:
    """Returns the diagonal of ``_kernel`` of features with themselves."""
    return np.asarray((features**2).sum(axis=1) / features.shape[1] + 2.0)


def _matern(distance: Numbers) -> Numbers:
    root5 = math.sqrt(5) * distance
    return np.asarray((1 + root5 + root5**2 / 3) * np.exp(-root5))


def _squares(one: Numbers, other: Numbers) -> Numbers:
    return np.asarray((one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T)


def normal_cdf(z: Numbers) -> Numbers:
    """Returns the distribution function of the standard normal distribution."""
    import torch

    return np.asarray(torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(z))).numpy())


def normal_pdf(z: Numbers) -> Numbers:
    """Returns the density of the standard normal distribution."""
    return np.asarray(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
