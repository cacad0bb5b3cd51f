"""The error of the cost model, learned from measured plans by Bayesian regression with two kinds of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
NOISE = 0.02
"""Expected standard deviation of a plan's true log speedup around the corrected prediction, before any is
measured."""
PRIOR_SHAPE = 3.0
"""The shape of the inverse gamma prior of that variance. It counts as much as 2 · 3 measurements."""
VARIANCES = NOISE**2 * np.geomspace(1 / 64, 64, 25)
"""Candidate variances, each weighted by how well it explains the measurements."""


class Residual:
    """The log of measured over predicted speedup: a weighted sum of features, plus an error of each plan, plus the
    known error of its measurement.

    The weights have a normal prior around 0 (no correction) with standard deviations ``spread``. The variance of
    the plans' own errors has an inverse gamma prior and is integrated over: Gelman et al., Bayesian Data Analysis,
    2013, 5.4 (means with known errors and unknown variance).
    """

    def __init__(self, spread: Sequence[float]) -> None:
        self._spread = np.array(spread, dtype=np.float64)
        self.fit(np.empty((0, len(spread))), np.empty(0), np.empty(0))

    def fit(self, features: Numbers, residuals: Numbers, errors: Numbers) -> None:
        """Learns from features (n, features), residuals (n,) and the standard deviations of their measurement
        errors (n,).

        It forgets what it learned before.
        """
        data = _Data(features, residuals, errors, self._spread)
        logs = np.array([data.posterior(noise).log_evidence + _log_prior(noise) for noise in VARIANCES])
        shares = np.exp(logs - logs.max())
        self.noise = float(shares @ VARIANCES / shares.sum())
        found = data.posterior(self.noise)
        self.weights, self.root = found.weights, np.linalg.cholesky(found.covariance)

    def mean(self, features: Sequence[Numbers]) -> Numbers:
        """Returns the expected residual. The features are arrays that broadcast together."""
        return _weighted(self.weights, features)

    def deviation(self, features: Sequence[Numbers]) -> Numbers:
        """Returns the standard deviation of a plan's true residual."""
        spread = sum((_weighted(column, features) ** 2 for column in self.root.T), np.zeros(()))
        return np.sqrt(self.noise + spread)


@dataclass(frozen=True)
class _Posterior:
    weights: Numbers
    covariance: Numbers
    log_evidence: float


@dataclass(frozen=True)
class _Data:
    features: Numbers
    residuals: Numbers
    errors: Numbers
    spread: Numbers

    def posterior(self, noise: float) -> _Posterior:
        """Returns the posterior of the weights for the given variance ``noise`` of the plans' own errors."""
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
    """Returns the log prior of the logarithm of the variance, up to a constant. The mean of the variance is
    NOISE²."""
    return float(-PRIOR_SHAPE * np.log(noise) - NOISE**2 * (PRIOR_SHAPE - 1) / noise)


def _weighted(weights: Numbers, features: Sequence[Numbers]) -> Numbers:
    return sum((w * f for w, f in zip(weights, features, strict=True)), np.zeros(()))
