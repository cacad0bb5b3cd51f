"""Estimates the losses of several plans together, because plans that were scored on the same images share
errors."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hasten.metrics import METRICS
from hasten.options.table import MIN_SAMPLES
from hasten.predict.residual import Numbers
from hasten.records import Loss, Trial

MAX_CORRELATION = 0.95
"""The highest correlation of errors on the same images that is believed; few images may happen to show a higher
one."""
TINY = 1e-18
"""Losses whose squared deviations are no larger than this count as constant."""


@dataclass(frozen=True)
class Measured:
    """A mean loss in some unit: ``value`` with its standard ``error``. ``scale`` converts a loss to that unit."""

    trial: Trial
    loss: Loss
    value: float
    error: float
    scale: float

    @property
    def images(self) -> range:
        return range(self.trial.offset, self.trial.offset + self.loss.samples)

    @cached_property
    def deviations(self) -> Numbers:
        """The deviation of each image's loss from the mean, (samples,)."""
        sign = 1.0 if METRICS.get(self.loss.metric).higher_is_better else -1.0
        own = sign * np.subtract(self.loss.baseline_scores, self.loss.scores)
        return np.asarray((own - own.mean()) / self.loss.baseline * self.scale)

    def blocks(self) -> Iterator[tuple[tuple[str, int], float, int]]:
        """Yields the images in the groups in which they are scored: the group's key, its mean value, and its
        size."""
        for block, places in itertools.groupby(range(self.loss.samples), lambda i: self.images[i] // MIN_SAMPLES):
            at = list(places)
            yield (self.trial.split, block), self.value + float(self.deviations[at].mean()), len(at)


def estimates(measured: Sequence[Measured]) -> tuple[Numbers, Numbers]:
    """Returns the values, (n,), and the covariances of their errors, (n, n).

    Where the first few images are hard ones, every plan that was scored on these alone seems to lose more than it
    does, and plans that were scored on more images show by how much. Each group of images of a plan is therefore a
    measurement of its own, whose error is correlated with those of other plans on the same images. Generalised
    least squares combines them.
    """
    blocks = defaultdict[tuple[str, int], list[tuple[int, float, int]]](list)
    for owner, m in enumerate(measured):
        for block, value, size in m.blocks():
            blocks[block].append((owner, value, size))
    spread = np.array([m.error * m.loss.samples**0.5 for m in measured])
    together = mean_correlation(measured)
    information, told = np.zeros((len(measured), len(measured))), np.zeros(len(measured))
    for rows in blocks.values():
        owners, values, sizes = map(np.array, zip(*rows, strict=True))
        shared = np.where(np.eye(len(rows), dtype=bool), 1.0, together)
        noise = shared * np.outer(spread[owners], spread[owners]) / np.maximum.outer(sizes, sizes)
        precision = np.linalg.inv(noise)
        information[np.ix_(owners, owners)] += precision
        told[owners] += precision @ values
    covariance = np.linalg.inv(information)
    return covariance @ told, (covariance + covariance.T) / 2


def mean_correlation(measured: Sequence[Measured]) -> float:
    """Returns the correlation of two plans' losses from image to image.

    It is the weighted mean over all pairs of plans, from the images that both were scored on; 0 where there are
    none.
    """
    columns = {key: i for i, key in enumerate({(m.trial.split, at): 0 for m in measured for at in m.images})}
    losses, scored = (np.zeros((len(measured), len(columns))) for _ in range(2))
    for row, has, m in zip(losses, scored, measured, strict=True):
        at = [columns[m.trial.split, image] for image in m.images]
        row[at], has[at] = m.deviations, 1.0
    counts, sums = np.maximum(scored @ scored.T, 1), losses @ scored.T
    products, squares = losses @ losses.T - sums * sums.T / counts, losses**2 @ scored.T - sums**2 / counts
    lengths = np.sqrt(np.maximum(squares * squares.T, 0))
    tells = (lengths > TINY) & ~np.eye(len(measured), dtype=bool)
    weights = (scored @ scored.T)[tells]
    if not weights.any():
        return 0.0
    correlation = np.average(products[tells] / lengths[tells], weights=weights)
    return float(np.clip(correlation, 0.0, MAX_CORRELATION))
