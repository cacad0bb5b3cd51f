"""What the cost model gets wrong, learned from measured plans: Bayesian regression with errors of two kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
NOISE = 0.02
"""Expected standard deviation of a plan's true log speedup around the corrected prediction, before any is seen."""
SURE = 3.0
"""How firmly that is expected: the shape of its variance's inverse gamma prior, as much as 2 · 3 measurements."""
TRIED = NOISE**2 * np.geomspace(1 / 64, 64, 25)
"""Variances that are believed, each as far as it explains the measurements."""


class Residual:
    """log(measured / predicted speedup) as a weighted sum of features, plus an error of each plan's own, plus the
    error that its measurement is known to have.

    The weights' prior is normal around 0 (no correction) with standard deviations ``spread``; that of the variance
    of the plans' own errors is inverse gamma, and it is integrated over: Gelman et al., Bayesian Data Analysis,
    2013, 5.4 (means with known errors, whose own variance is to be found).
    """

    def __init__(self, spread: Sequence[float]) -> None:
        self._spread = np.array(spread, dtype=np.float64)
        self.fit(np.empty((0, len(spread))), np.empty(0), np.empty(0))

    def fit(self, features: Numbers, residuals: Numbers, errors: Numbers) -> None:
        """Learns from (n, features), (n,) and the (n,) standard deviations of the measurements' errors; forgets
        what it learned before."""
        told = _Told(features, residuals, errors, self._spread)
        logs = np.array([told.posterior(noise).log_evidence + _log_prior(noise) for noise in TRIED])
        shares = np.exp(logs - logs.max())
        self.noise = float(shares @ TRIED / shares.sum())
        found = told.posterior(self.noise)
        self.weights, self.root = found.weights, np.linalg.cholesky(found.covariance)

    def mean(self, features: Sequence[Numbers]) -> Numbers:
        """The expected residual; features are arrays that broadcast together."""
        return _weighted(self.weights, features)

    def deviation(self, features: Sequence[Numbers]) -> Numbers:
        """The standard deviation of a plan's true residual."""
        spread = sum((_weighted(column, features) ** 2 for column in self.root.T), np.zeros(()))
        return np.sqrt(self.noise + spread)


@dataclass(frozen=True)
class _Posterior:
    weights: Numbers
    covariance: Numbers
    log_evidence: float


@dataclass(frozen=True)
class _Told:
    features: Numbers
    residuals: Numbers
    errors: Numbers
    spread: Numbers

    def posterior(self, noise: float) -> _Posterior:
        """Of the weights, where the plans' own errors have that variance."""
        variances = noise + self.errors**2
        scaled = self.features / variances[:, None]
        precision = np.diag(self.spread**-2.0) + self.features.T @ scaled
        covariance = np.asarray(np.linalg.inv(precision), np.float64)
        pull = scaled.T @ self.residuals
        weights = covariance @ pull
        explained = float(pull @ weights) + float(np.linalg.slogdet(covariance)[1])
        evidence = (explained - float(self.residuals**2 @ (1 / variances)) - float(np.log(variances).sum())) / 2
        return _Posterior(np.asarray(weights, np.float64), covariance, evidence)


def _log_prior(noise: float) -> float:
    """Of the logarithm of the variance, up to a constant; the variance's mean is NOISE²."""
    return float(-SURE * np.log(noise) - NOISE**2 * (SURE - 1) / noise)


def _weighted(weights: Numbers, features: Sequence[Numbers]) -> Numbers:
    return sum((w * f for w, f in zip(weights, features, strict=True)), np.zeros(()))
