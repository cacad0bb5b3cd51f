"""Measures the grid of a method that determines its own, on the search's prompts, alone on the device."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from hasten.errors import InputError, MeasurementError, UnsupportedError
from hasten.measure.environment import environment
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.methods import MeasuresGrid
from hasten.plan import Parameters, Plan
from hasten.records import Record

if TYPE_CHECKING:
    import torch

SAMPLES = 4


class MeasuredGrid(Record):
    """The result of measuring a method's grid, with the circumstances of the measurement.

    The method's own figures are extra fields.

    Attributes:
        setting: the setting's key.
        environment: the environment of the measurement.
        samples: the number of images that were drawn in each run.
        steps: the setting's steps.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    setting: str
    environment: dict[str, str]
    samples: int
    steps: int

    @property
    def found(self) -> Mapping[str, Any]:
        """The method's own figures."""
        return self.model_extra or {}


def measure_grid(
    pipeline: Pipeline,
    method: MeasuresGrid,
    *,
    samples: int = SAMPLES,
    limit_s: float | None = None,
    report: Callable[[str], None] | None = None,
) -> MeasuredGrid:
    """Measures the grid on the first ``samples`` images, or on as many as are drawn at once.

    Args:
        pipeline: the pipeline in its setting.
        method: the method whose grid is measured.
        samples: the number of images.
        limit_s: the most seconds that the measurement may take; None for no limit.
        report: called with a few words about what is being done.

    Raises:
        InputError: ``samples`` is below 1.
        UnsupportedError: the method cannot be used on this pipeline, or cannot measure there.
        MeasurementError: a run failed, or it took longer than ``limit_s`` seconds.
    """
    if samples < 1:
        raise InputError(f"The number of samples is {samples}: allowed is 1 or more.")
    if reason := method.unsupported(pipeline.pipe):
        raise UnsupportedError(f"The grid of {method.title} cannot be measured: {reason}.")
    setting = pipeline.setting
    indices = next(pipeline.batches(range(samples)))
    deadline = math.inf if limit_s is None else time.monotonic() + limit_s
    with device_lock(setting.device), plan_failures():
        found = method.measure(_Drawing(pipeline, method, indices, deadline, report))
    own = {
        "setting": setting.key(),
        "environment": environment(setting.device, setting.dtype),
        "samples": len(indices),
        "steps": setting.steps,
    }
    if taken := own.keys() & found.keys():
        raise MeasurementError(
            f"{method.title} names a figure {', '.join(sorted(taken))}, which hasten keeps itself: it takes "
            "another name."
        )
    return MeasuredGrid.model_validate({**own, **json.loads(json.dumps(dict(found)))})


@dataclass(frozen=True)
class _Drawing:
    """The ``Drawing`` of a method. It draws until ``deadline``, in seconds of ``time.monotonic``."""

    pipeline: Pipeline
    method: MeasuresGrid
    indices: Sequence[int]
    deadline: float
    report: Callable[[str], None] | None

    @property
    def pipe(self) -> Any:
        return self.pipeline.pipe

    @property
    def steps(self) -> int:
        return self.pipeline.setting.steps

    def latents(self) -> torch.Tensor:
        if time.monotonic() > self.deadline:
            raise MeasurementError(f"The grid of {self.method.title} took longer to measure than there was time.")
        return self.pipeline.latents("search", self.indices)

    def installed(self, parameters: Parameters) -> AbstractContextManager[object]:
        return self.pipeline.installed(Plan.of({self.method.name: parameters}))

    def tell(self, words: str) -> None:
        if self.report:
            self.report(words)
