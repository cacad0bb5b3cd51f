"""The equal-time baseline: the plain pipeline with so few steps that it is about as fast as a plan."""

from __future__ import annotations

import math
from typing import Protocol

from hasten.measure.quality import Losses
from hasten.measure.stats import paired_loss
from hasten.metrics import METRICS
from hasten.records import Latency, Loss, Trial

ROUGH_PAIRS = 2
MOST_PAIRS = 3
MOST_DOWN = 2


class Timer(Protocol):
    """Times a number of steps against the full number, interleaved."""

    def __call__(self, steps: int, *, pairs: int, warmup: int) -> Latency: ...


def most_steps(measure: Timer, full: int, speedup: float, pairs: int = MOST_PAIRS) -> tuple[int, Latency]:
    """Returns the most steps, up to ``full``, that are at least ``speedup`` times as fast as ``full``, and their
    latency.

    Latency is a + b · steps. Half the steps, timed in 2 pairs, give the line, and the most steps that are fast
    enough on it are then timed for the record. Where they are slower than asked, one step less is timed, at most
    twice; where they leave room for a step or more, by the line through their own speedup, these are timed once: a
    first reading under load can be so far off that a plan is compared with far too few steps. This takes two
    timings as a rule and four at most. The line is one of speedups, not of seconds, so that a machine that has
    become slower since the plan was timed does not bend it.

    The result may still be slower than asked, where even one step is, or where the line was far off.

    Args:
        measure: times a number of steps. The first timing warms up, and the others follow at once.
        full: the setting's number of steps.
        speedup: the speedup to reach. For 1 or less the result is ``full`` itself.
        pairs: the pairs of the timings for the record, at most 3.
    """
    pairs = min(pairs, MOST_PAIRS)
    if full == 1 or speedup <= 1:
        return full, measure(full, pairs=pairs, warmup=1)
    half = full // 2
    step = _step_cost(measure(half, pairs=min(pairs, ROUGH_PAIRS), warmup=1), full, half)
    steps = _most_on_the_line(step, full, speedup)
    latency = measure(steps, pairs=pairs, warmup=0)
    more = _most_on_the_line(_step_cost(latency, full, steps), full, speedup)
    if latency.speedup >= speedup and more > steps:
        closer = measure(more, pairs=pairs, warmup=0)
        return (more, closer) if closer.speedup >= speedup else (steps, latency)
    for fewer in range(steps - 1, max(0, steps - 1 - MOST_DOWN), -1):
        if latency.speedup >= speedup:
            break
        steps, latency = fewer, measure(fewer, pairs=pairs, warmup=0)
    return steps, latency


def where_it_loses(fewer: Trial, plan_latency: Latency, plan_losses: Losses) -> list[str]:
    """Returns the metrics by which fewer steps lose less than the plan; none where they are clearly slower than
    it."""
    if fewer.latency is None or fewer.latency.highest < plan_latency.speedup:
        return []
    return [m for m, loss in fewer.losses.items() if m in plan_losses and loss.loss < plan_losses[m].loss]


def dominates(fewer: Trial, plan: Trial) -> bool:
    """Returns whether fewer steps do better than the plan by every metric that it is scored by, and are no slower.

    They must do better by more than chance: paired by prompt, the whole interval of the plan's loss against them
    is above 0.
    """
    if fewer.latency is None or plan.latency is None or fewer.latency.highest < plan.speedup:
        return False
    if not plan.losses or not plan.losses.keys() <= fewer.losses.keys():
        return False
    return all(surely_worse(loss, fewer.losses[metric]) for metric, loss in plan.losses.items())


def surely_worse(one: Loss, other: Loss) -> bool:
    """Returns whether one plan loses more than another by a metric, and by more than chance: paired by prompt, the
    whole interval of its loss against the other is above 0."""
    both = min(len(one.scores), len(other.scores))
    if not both:
        return False
    better = METRICS.get(one.metric).higher_is_better
    lost, interval = paired_loss(
        other.scores[:both], one.scores[:both], higher_is_better=better, confidence=one.confidence
    )
    return lost > 0 and interval[0] > 0


def _step_cost(half: Latency, full: int, fewer: int) -> float:
    """Returns the cost of a step as a share of the baseline's latency: at most an equal share, and 0 where none
    was seen."""
    return min(max(0.0, 1 - 1 / half.speedup) / (full - fewer), 1 / full)


def _most_on_the_line(step: float, full: int, speedup: float) -> int:
    if step == 0:
        return 1
    left_out = math.ceil((1 - 1 / speedup) / step)
    return max(1, min(full - 1, full - left_out))
