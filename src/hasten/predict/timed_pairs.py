"""What the few pairs of times of a search trial tell of a speedup, and how surely."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from hasten.records import Latency

ASSUMED_SCATTER, PAIRS_ASSUMED = 0.05, 6
"""Of a pair's log ratio, before any were timed (0.03 on an idle machine, 0.1 on a shared one), and so many pairs'
worth of it."""


def log_ratio(latency: Latency) -> float:
    """The median of the pairs' log ratios. It scatters less than the log of ``speedup``, whose two medians are
    taken apart: what slows down both calls of a pair cancels here only."""
    if not latency.times_s:
        return math.log(latency.speedup)
    return float(np.median(_logs(latency)))


def scatter_of(latencies: Iterable[Latency]) -> float:
    """Standard deviation of one pair's log ratio around its plan's, from all pairs."""
    total, count = PAIRS_ASSUMED * ASSUMED_SCATTER**2, PAIRS_ASSUMED
    for latency in latencies:
        if len(latency.times_s) > 1:
            logs = _logs(latency)
            total, count = total + float(((logs - logs.mean()) ** 2).sum()), count + len(logs) - 1
    return math.sqrt(total / count)


def error_of(latency: Latency, scatter: float) -> float:
    """Standard deviation of ``log_ratio`` where one pair's is ``scatter``; measured, a median of pairs scatters as
    little as their mean."""
    return scatter / math.sqrt(max(len(latency.times_s), 1))


def _logs(latency: Latency) -> np.ndarray:
    return np.log(latency.baseline_times_s) - np.log(latency.times_s)
