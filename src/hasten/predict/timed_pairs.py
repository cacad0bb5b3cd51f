"""The speedup that the few pairs of times in a search trial show, and its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from hasten.records import Latency

ASSUMED_SCATTER, PAIRS_ASSUMED = 0.05, 6
"""The expected scatter of a pair's log ratio before any were timed (0.03 on an idle machine, 0.1 on a shared one),
and the number of pairs that this expectation counts as."""


def log_ratio(latency: Latency) -> float:
    """Returns the median of the pairs' log ratios, or the log of the speedup where there are no raw times.

    It scatters less than the log of ``speedup``, which divides one median by the other: what slows down both calls
    of a pair cancels only within the pair.
    """
    if not latency.times_s:
        return math.log(latency.speedup)
    return float(np.median(_logs(latency)))


def scatter_of(latencies: Iterable[Latency]) -> float:
    """Returns the standard deviation of one pair's log ratio around the mean of its plan, estimated from all
    pairs."""
    total, count = PAIRS_ASSUMED * ASSUMED_SCATTER**2, PAIRS_ASSUMED
    for latency in latencies:
        if len(latency.times_s) > 1:
            logs = _logs(latency)
            total, count = total + float(((logs - logs.mean()) ** 2).sum()), count + len(logs) - 1
    return math.sqrt(total / count)


def error_of(latency: Latency, scatter: float) -> float:
    """Returns the standard deviation of ``log_ratio`` where that of a single pair is ``scatter``.

    Measurements show that the median of such pairs scatters as little as their mean.
    """
    return scatter / math.sqrt(max(len(latency.times_s), 1))


def _logs(latency: Latency) -> np.ndarray:
    return np.log(latency.baseline_times_s) - np.log(latency.times_s)
