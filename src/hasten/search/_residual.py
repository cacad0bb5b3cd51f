"""What the cost model gets wrong, learned from measured plans: Bayesian ridge regression, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
NOISE = 0.02
"""Expected standard deviation of a measured log speedup around the corrected prediction, before any is seen."""
SURE = 3.0
"""How firmly that is expected: the shape of its inverse gamma prior, as much as 2 · 3 measurements."""


class Residual:
    """log(measured / predicted speedup) as a weighted sum of features, plus noise.

    The weights' prior is normal around 0 (no correction) with standard deviations ``spread`` where the noise
    is as expected; the noise variance's is inverse gamma. Conjugate: Murphy, Machine Learning, 2012, 7.6.3.
    """

    def __init__(self, spread: Sequence[float]) -> None:
        self._prior = np.diag((NOISE / np.array(spread, dtype=np.float64)) ** 2)
        self.fit(np.empty((0, len(spread))), np.empty(0))

    def fit(self, features: Numbers, residuals: Numbers) -> None:
        """Learns from (n, features) and (n,), and forgets what it learned before."""
        precision = self._prior + features.T @ features
        self.weights = np.asarray(np.linalg.solve(precision, features.T @ residuals), np.float64)
        unexplained = float(residuals @ (residuals - features @ self.weights)) / 2
        self.noise = (NOISE**2 * (SURE - 1) + unexplained) / (SURE - 1 + len(residuals) / 2)
        self.root = np.linalg.cholesky(np.linalg.inv(precision))

    def mean(self, features: Sequence[Numbers]) -> Numbers:
        """The expected residual; features are arrays that broadcast together."""
        return _weighted(self.weights, features)

    def deviation(self, features: Sequence[Numbers]) -> Numbers:
        """The standard deviation of a measured residual."""
        spread = sum((_weighted(column, features) ** 2 for column in self.root.T), np.zeros(()))
        return np.sqrt(self.noise * (1 + spread))


def _weighted(weights: Numbers, features: Sequence[Numbers]) -> Numbers:
    return sum((w * f for w, f in zip(weights, features, strict=True)), np.zeros(()))
