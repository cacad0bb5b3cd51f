"""What plans lose, estimated together: those that were scored on the same images are wrong together."""

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

MOST = 0.95
"""Errors of plans on the same images go together by no more than this: a few images show too much now and then."""
TINY = 1e-18
"""Where the squares of losses that scatter are no larger, they do not."""


@dataclass(frozen=True)
class Measured:
    """A mean loss in some unit, as ``value`` with its standard ``error``, and how much of that unit a loss is."""

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
        """(samples,): how far each image's loss is off the mean."""
        sign = 1.0 if METRICS.get(self.loss.metric).higher_is_better else -1.0
        own = sign * np.subtract(self.loss.baseline_scores, self.loss.scores)
        return np.asarray((own - own.mean()) / self.loss.baseline * self.scale)

    def blocks(self) -> Iterator[tuple[tuple[str, int], float, int]]:
        """The images as they are scored, a few at a time: which they are, their mean value, and how many."""
        for block, places in itertools.groupby(range(self.loss.samples), lambda i: self.images[i] // MIN_SAMPLES):
            at = list(places)
            yield (self.trial.split, block), self.value + float(self.deviations[at].mean()), len(at)


def estimates(measured: Sequence[Measured]) -> tuple[Numbers, Numbers]:
    """The values, (n,), and the covariances of their errors, (n, n).

    Where the first few images are hard ones, every plan that was scored on these alone seems to lose more than it
    does; plans that were scored on more images show by how much. Each few images of a plan are a measurement of
    its own, with errors that go together with those of other plans on the same images; generalised least squares
    makes the most of them.
    """
    blocks = defaultdict[tuple[str, int], list[tuple[int, float, int]]](list)
    for owner, m in enumerate(measured):
        for block, value, size in m.blocks():
            blocks[block].append((owner, value, size))
    spread = np.array([m.error * m.loss.samples**0.5 for m in measured])
    together = together_of(measured)
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


def together_of(measured: Sequence[Measured]) -> float:
    """How the losses of two plans go together from image to image: the correlation over the images that both were
    scored on, the mean of all pairs of plans; 0 where none tells."""
    columns = {key: i for i, key in enumerate({(m.trial.split, at): 0 for m in measured for at in m.images})}
    losses, known = (np.zeros((len(measured), len(columns))) for _ in range(2))
    for row, has, m in zip(losses, known, measured, strict=True):
        at = [columns[m.trial.split, image] for image in m.images]
        row[at], has[at] = m.deviations, 1.0
    counts, sums = np.maximum(known @ known.T, 1), losses @ known.T
    products, squares = losses @ losses.T - sums * sums.T / counts, losses**2 @ known.T - sums**2 / counts
    lengths = np.sqrt(np.maximum(squares * squares.T, 0))
    tells = (lengths > TINY) & ~np.eye(len(measured), dtype=bool)
    weights = (known @ known.T)[tells]
    if not weights.any():
        return 0.0
    return float(np.clip(np.average(products[tells] / lengths[tells], weights=weights), 0.0, MOST))
