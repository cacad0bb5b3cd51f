"""The duration of a call of the baseline, from a first look at a few of its steps."""

from __future__ import annotations

import time
from typing import NamedTuple

from hasten.measure.blocks import BlockProfile
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.measure.timing import synchronise

FEW, MORE = 2, 4
"""The numbers of steps of the two calls that are timed."""


class Pace(NamedTuple):
    """The seconds of a call of the pipeline (one batch): those that occur once, and those of a step."""

    once_s: float
    step_s: float

    def call_s(self, steps: int) -> float:
        return self.once_s + steps * self.step_s


def pace_of(pipeline: Pipeline) -> Pace:
    """Returns the baseline's pace, from a call of two steps and one of four after a call that warms up.

    It is precise enough to plan time with, not to compute a speedup.

    Raises:
        MeasurementError: a call failed.
    """
    with device_lock(pipeline.setting.device), plan_failures():
        pipeline.generate("search", range(pipeline.setting.batch_size), FEW)
        few_s, more_s = _seconds(pipeline, FEW), _seconds(pipeline, MORE)
    step_s = min(max(0.0, more_s - few_s) / (MORE - FEW), more_s / MORE)
    return Pace(max(0.0, more_s - MORE * step_s), step_s)


def profiled_pace(profile: BlockProfile) -> Pace:
    """Returns the pace that a profile shows."""
    once_s = profile.text_s + profile.decode_s + profile.rest_s
    return Pace(once_s, max(0.0, profile.latency_s - once_s) / profile.steps)


def _seconds(pipeline: Pipeline, steps: int) -> float:
    synchronise(pipeline.setting.device)
    start = time.perf_counter()
    pipeline.generate("search", range(pipeline.setting.batch_size), steps)
    synchronise(pipeline.setting.device)
    return time.perf_counter() - start
