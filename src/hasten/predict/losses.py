"""What a plan may lose, learned from the plans that were measured: a Gaussian process for each limited metric."""

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
"""How far losses reach, in limits."""
LENGTHS = (0.4, 0.8, 1.6)
"""How far along its axes (each 0 to 1) a plan tells of others. All scales with all lengths are believed, each as
far as it explains the measured losses: the likeliest alone would be much too sure after a few trials."""
UNLIKELY = 2.0
"""Log likelihood behind the likeliest from which an explanation no longer counts."""
STRONGEST = 3.0
"""The loss, in limits, that the strongest plan of a space is expected to have before any is measured."""
ELSEWHERE = 0.4
"""How far, in limits, a plan's loss with another scheduler or number of steps is off (standard deviation)."""
LEAST_ERROR = 0.05
"""Of a measured loss, in limits: what few prompts show is never surer."""
SURE = 1.96
PRESENCE = ""
"""In a parameter's place: whether a plan has the method at all."""


@dataclass(frozen=True)
class Features:
    """Where plans stand on the axes of all spaces, mildest 0 and strongest 1; on those of a method that they lack
    0. Where there are several spaces, each method has a further axis, 1 where the plan has it: its mildest may
    cost something. The last column is the logarithm of the predicted speedup, the greatest 1."""

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
        """(n, axes) indices and (n,) speedups → (n, features)."""
        found = np.zeros((len(cells), len(self.axes) + 1))
        for column, axis in enumerate(space.axes):
            share = cells[:, column] / max(len(axis.values) - 1, 1)
            # One value alone is a method that is there: as strong as it gets.
            found[:, self.axes.index((axis.method, axis.name))] = share if len(axis.values) > 1 else 1.0
        for method in space.methods:
            if (method, PRESENCE) in self.axes:
                found[:, self.axes.index((method, PRESENCE))] = 1.0
        found[:, -1] = np.log(np.maximum(speedups, 1e-9)) / self.fastest
        return found


class Surrogate:
    """The loss of one metric over plans, in limits; compressed beyond the limit, where only *how far* is unclear.

    A linear trend (stronger plans lose more, as they are expected to before anything is measured) and a smooth
    deviation from it (Matérn 5/2), with the error of every measured loss known from its interval: Rasmussen,
    Williams, Gaussian Processes for Machine Learning, 2006, 2.2 and 2.7.
    """

    def __init__(self, limit: float) -> None:
        self.limit = max(limit, 1e-4)

    def fit(self, features: Numbers, measured: Sequence[tuple[Trial, Loss]], off: Sequence[float]) -> None:
        """Learns from (n, features) and n losses, and forgets what it learned before.

        ``off``: standard deviations of what else the losses may be off by, in limits as compressed.
        """
        known, covariance = estimates([self._measured(trial, loss) for trial, loss in measured])
        noise = covariance + np.diag(np.array(off) ** 2)
        kernels = {length: _kernel(features, features, length) for length in LENGTHS}
        fits = [
            _Fit.of(features, known, noise, kernels[length], scale, length)
            for scale, length in itertools.product(SCALES, LENGTHS)
        ]
        likeliest = max(fit.log_likelihood for fit in fits)
        self._fits = [fit for fit in fits if fit.log_likelihood > likeliest - UNLIKELY]

    def _measured(self, trial: Trial, loss: Loss) -> Measured:
        """In limits, as compressed."""
        share = loss.loss / self.limit
        scale = 1 / self.limit / max(1.0, abs(share))
        return Measured(trial, loss, _compressed(share), max(_error(loss) * scale, LEAST_ERROR), scale)

    def predictions(self, features: Numbers) -> Iterator[tuple[float, Numbers, Numbers]]:
        """Each likely explanation of the measured losses: its probability, and mean and standard deviation of the
        loss in limits, as compressed."""
        weights = np.exp([fit.log_likelihood - self._fits[0].log_likelihood for fit in self._fits])
        known = self._fits[0].known
        across = {length: _kernel(features, known, length) for length in {fit.length for fit in self._fits}}
        own = _variances(features)
        for share, fit in zip(weights / weights.sum(), self._fits, strict=True):
            yield float(share), *fit.predict(features, across[fit.length], own)

    def predict(self, features: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of the loss in limits, as compressed."""
        found = list(self.predictions(features))
        mean = np.asarray(sum(share * m for share, m, _ in found))
        square = np.asarray(sum(share * (m**2 + d**2) for share, m, d in found))
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-6))

    def inside(self, features: Numbers, two_sided: bool) -> Numbers:
        """The probability that the loss is below the limit; two-sided, above minus the limit as well."""
        total = np.zeros(len(features))
        for share, mean, deviation in self.predictions(features):
            found = normal_cdf((1 - mean) / deviation)
            total += share * (found - normal_cdf((-1 - mean) / deviation) if two_sided else found)
        return total


@dataclass(frozen=True)
class _Fit:
    """A Gaussian process with one scale and length, and how likely it makes the measured losses."""

    known: Numbers
    scale: float
    length: float
    root: Numbers
    weights: Numbers
    log_likelihood: float

    @classmethod
    def of(
        cls, features: Numbers, losses: Numbers, noise: Numbers, kernel: Numbers, scale: float, length: float
    ) -> _Fit:
        """From (n, features), (n,) losses, (n, n) covariances of their errors and their (n, n) kernel."""
        root: Numbers = np.asarray(np.linalg.cholesky(scale**2 * kernel + noise), np.float64)
        whitened = np.linalg.solve(root, losses - _trend(features))
        likelihood = -0.5 * float(whitened @ whitened) - float(np.log(np.diag(root)).sum())
        return cls(features, scale, length, root, np.linalg.solve(root.T, whitened), likelihood)

    def predict(self, features: Numbers, across: Numbers, own: Numbers) -> tuple[Numbers, Numbers]:
        """From (m, features), their (m, n) kernel with the known ones and (m,) variances, both at scale 1."""
        across = self.scale**2 * across
        explained = np.linalg.solve(self.root, across.T)
        variance = self.scale**2 * own - (explained**2).sum(axis=0)
        return _trend(features) + across @ self.weights, np.sqrt(np.maximum(variance, 1e-6))


class Quality:
    """How likely plans are to keep all limits, from the losses that trials and verdicts measured."""

    def __init__(self, limits: Limits, spaces: Sequence[Space], speedups: Sequence[Numbers]) -> None:
        self.limits, self._spaces = limits, spaces
        self._features = Features.of(spaces, speedups)
        self._surrogates = {metric: Surrogate(limit) for metric, limit in limits.items()}
        self._speedups = {space.methods: found for space, found in zip(spaces, speedups, strict=True)}

    def learn(self, trials: Iterable[Trial], elsewhere: Iterable[Trial] = ()) -> None:
        """Takes the trials that were scored; what was learned before is replaced.

        ``elsewhere``: trials with other schedulers and steps: believed less, and only of plans not scored here.
        """
        here = [t for t in trials if self._scored(t)]
        plans = {t.plan for t in here}
        told = [(t, 0.0) for t in here]
        told += [(t, ELSEWHERE) for t in elsewhere if self._scored(t) and t.plan not in plans]
        rows = [self._row(Plan.parse(t.plan)) for t, _ in told]
        kept = [(row, t, off) for row, (t, off) in zip(rows, told, strict=True) if row is not None]
        features = np.array([row for row, _, _ in kept]).reshape(-1, len(self._features.axes) + 1)
        for metric, surrogate in self._surrogates.items():
            measured = [(t, t.losses[metric]) for _, t, _ in kept]
            surrogate.fit(features, measured, [off for _, _, off in kept])

    def _scored(self, trial: Trial) -> bool:
        return trial.status == "ok" and set(self.limits) <= trial.losses.keys()

    def inside(self, space: Space, cells: npt.NDArray[np.int64], speedups: Numbers) -> Numbers:
        """The probability that each plan keeps every limit; (n, axes) indices and (n,) speedups → (n,)."""
        features = self._features(space, cells, speedups)
        found = [s.inside(features, self.limits.two_sided) for s in self._surrogates.values()]
        return np.prod(found, axis=0)

    def excess(self, space: Space, cells: npt.NDArray[np.int64], speedups: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and deviation of the loss nearest to its limit, in limits."""
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
    """In limits: as it is up to 1 on either side, beyond that 1 + log."""
    return loss if abs(loss) <= 1 else math.copysign(1 + math.log(abs(loss)), loss)


def _error(loss: Loss) -> float:
    """The standard error that the interval shows."""
    low, high = loss.interval
    return (high - low) / 2 / SURE


def _trend(features: Numbers) -> Numbers:
    """Before anything is measured: in proportion to the predicted log speedup."""
    return STRONGEST * features[:, -1]


def _kernel(one: Numbers, other: Numbers, length: float) -> Numbers:
    """Covariance of trends and deviations at scale 1; (n, m).

    A deviation is one that each feature makes by itself, so that what is known of one method's parameter tells of
    it beside any other's, and as large a one that they make together: in T-GATE which steps are left is decided by
    all parameters.
    """
    count = one.shape[1]
    alone = sum(_matern(np.abs(one[:, [c]] - other[:, c]) / length) for c in range(count)) / count
    together = _matern(np.sqrt(np.maximum(_squares(one, other), 0)) / length)
    return np.asarray(one @ other.T / count + alone + together)


def _variances(features: Numbers) -> Numbers:
    """The diagonal of a ``_kernel`` of features with themselves."""
    return np.asarray((features**2).sum(axis=1) / features.shape[1] + 2.0)


def _matern(distance: Numbers) -> Numbers:
    root5 = math.sqrt(5) * distance
    return np.asarray((1 + root5 + root5**2 / 3) * np.exp(-root5))


def _squares(one: Numbers, other: Numbers) -> Numbers:
    return np.asarray((one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T)


def normal_cdf(z: Numbers) -> Numbers:
    """The normal distribution function."""
    import torch

    return np.asarray(torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(z))).numpy())


def normal_pdf(z: Numbers) -> Numbers:
    """The normal density."""
    return np.asarray(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
