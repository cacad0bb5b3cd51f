"""Calls timed step by step: what a machine's other work does to a few steps of a call then counts little.

A call is cut where the denoiser is called. What it takes is the sum over its pieces of each piece's median over
all calls: a burst of other work falls on a few pieces of one call, and no piece's median sees it. The median of
whole calls, most of which hold such a burst, does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.timing import PartsOf, Side, take_turns

Calls = Sequence[Sequence[float]]
"""Seconds of the pieces of each call: up to the denoiser's first one, from each of those to the next, the rest."""
RESAMPLES = 2000


@contextmanager
def cut(denoisers: Iterable[torch.nn.Module]) -> Iterator[PartsOf]:
    """Yields a function that gives the pieces since it was last asked, by their number."""
    moments: list[float] = []
    handles = [
        denoiser.register_forward_pre_hook(lambda *_: moments.append(time.perf_counter()), prepend=True)
        for denoiser in denoisers
    ]

    def since_last() -> dict[str, float]:
        ends = [*moments, time.perf_counter()]
        moments[:] = [time.perf_counter()]
        return {str(i): end - start for i, (start, end) in enumerate(pairwise(ends))}

    try:
        yield since_last
    finally:
        for handle in handles:
            handle.remove()


def in_turn(first: Side, second: Side, pairs: int, device: str, denoisers: Iterable[Any]) -> dict[str, Any]:
    """Both sides in the order A B, B A, …: the pieces of every call, and the second's peak memory.

    Raises MeasurementError.
    """
    with device_lock(device), plan_failures(), cut(denoisers) as pieces_s:
        first.warm_up()
        second.warm_up()
        for _ in take_turns((first, second), pairs, device, pieces_s):
            pass
    sides = {"first": pieces(first), "second": pieces(second)}
    return {**sides, "peak_memory_bytes": second.peak_memory_bytes}


def pieces(side: Side) -> list[list[float]]:
    """Of each call of a side that was timed so, to the microsecond."""
    return [[round(seconds, 6) for seconds in parts.values()] for parts in side.parts]


def seconds_of(calls: Calls) -> float:
    """What a call takes."""
    return float(np.median(np.array(calls), axis=0).sum())


def ratio(first: Calls, second: Calls) -> tuple[float, tuple[float, float]]:
    """Seconds of the first side over those of the second, and the 95% interval, over resampled calls of both."""
    generator = np.random.default_rng(0)
    sides = [_resampled(np.array(calls), generator) for calls in (first, second)]
    low, high = np.percentile(sides[0] / sides[1], (2.5, 97.5))
    return seconds_of(first) / seconds_of(second), (float(low), float(high))


def slowdown_of(first: Calls, second: Calls) -> tuple[float, tuple[float, float]]:
    """The median of second over first, of pieces that were timed next to each other, and the 95% interval, over
    resampled calls."""
    ratios = np.array(second) / np.array(first)
    index = np.random.default_rng(0).integers(len(ratios), size=(RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[index], axis=(1, 2)), (2.5, 97.5))
    return float(np.median(ratios)), (float(low), float(high))


def _resampled(calls: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(calls, pieces) seconds → (RESAMPLES,) seconds of a call."""
    index = generator.integers(len(calls), size=(RESAMPLES, len(calls)))
    return np.asarray(np.median(calls[index], axis=1).sum(axis=1))
