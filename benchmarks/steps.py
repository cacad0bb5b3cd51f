"""Two sides timed step by step (``hasten.measure.stepwise``), in turn, and how their pieces compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.stepwise import Calls, cut, seconds_of
from hasten.measure.timing import Side, take_turns

RESAMPLES = 2000


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
    return np.asarray(np.quantile(calls[index], 0.25, axis=1).sum(axis=1))
