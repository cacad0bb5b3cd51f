"""How many steps a baseline can afford in a plan's time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hasten.records import Latency


def most_steps(measure: Callable[[int], Latency], steps: int, speedup: float) -> tuple[int, Latency]:
    """The most steps, up to ``steps``, whose speedup over ``steps`` is at least ``speedup``; and their latency.

    One measurement at half the steps gives the line latency = a + b · steps, the line gives a first
    guess, and measuring goes on step by step from there. 1 where even one step is slower.

    Args:
        measure: times a number of steps against the full number; asked once for each.
    """
    latency_of = cache(measure)
    if steps == 1 or speedup <= 1:
        return steps, latency_of(steps)
    guess = _predicted(latency_of(steps // 2), steps, steps // 2, speedup)
    while guess > 1 and latency_of(guess).speedup < speedup:
        guess -= 1
    while guess < steps - 1 and latency_of(guess + 1).speedup >= speedup:
        guess += 1
    return guess, latency_of(guess)


def _predicted(half: Latency, steps: int, fewer: int, speedup: float) -> int:
    slope = (half.baseline_s - half.plan_s) / (steps - fewer)
    if slope <= 0:
        return 1
    fixed = half.baseline_s - slope * steps
    return max(1, min(steps - 1, int((half.baseline_s / speedup - fixed) / slope)))
