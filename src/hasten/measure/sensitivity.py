"""What reuse costs, measured: how far off the final latents are when the steps after some step do with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hasten.denoisers import denoiser_of
from hasten.errors import InputError, MeasurementError, UnsupportedError
from hasten.measure.environment import environment
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.methods import METHODS
from hasten.plan import Plan, step_list
from hasten.records import Record
from hasten.schedulers import step_numbers

if TYPE_CHECKING:
    import torch

Kind = Literal["full_steps", "guided_steps"]
SAMPLES = 4
FOLLOWED, REUSED = 8, 2
"""How an error goes on to the final latents is measured at so many steps, for the error of so many reused ones."""
METHOD = "schedule"


class Sensitivity(Record):
    """The mean squared error of the final latents that reuse costs, by the steps that reuse.

    ``full_steps[s][r]``: the whole UNet runs at step s, only the branch 0 at the r steps that follow, and then
    everything again. ``guided_steps[s][r]``: the same with guidance, which goes on by its last difference in
    between. Row s has ``steps`` − s figures, the first 0. Means over ``samples`` images of the search's prompts;
    all zero for guidance where the setting has none.
    """

    setting: str
    environment: dict[str, str]
    samples: int
    steps: int
    full_steps: tuple[tuple[float, ...], ...]
    guided_steps: tuple[tuple[float, ...], ...]


def measure_sensitivity(
    pipeline: Pipeline,
    *,
    samples: int = SAMPLES,
    limit_s: float | None = None,
    report: Callable[[str], None] | None = None,
) -> Sensitivity:
    """Measures it in the time of about as many runs as the setting has steps, of ``samples`` images each, or of as
    many as are drawn at once.

    From each step on a run reuses until its end, which tells what the error is at every later step. How much of it
    is left in the final latents is told by runs that go on in full from there, for some steps, and is interpolated
    between them. What comes before the step in question is not computed again: the baseline's output is replayed.

    Raises:
        InputError: ``samples`` below 1.
        UnsupportedError: step schedules cannot be used on this pipeline.
        MeasurementError: a run failed, or it took longer than ``limit_s`` seconds.
    """
    if samples < 1:
        raise InputError(f"The number of samples is {samples}: allowed is 1 or more.")
    if reason := METHODS.get(METHOD).unsupported(pipeline.pipe):
        raise UnsupportedError(f"The sensitivity of steps cannot be measured: {reason}.")
    setting = pipeline.setting
    with device_lock(setting.device), plan_failures():
        indices = next(pipeline.batches(range(samples)))
        runs = _Runs(pipeline, indices, math.inf if limit_s is None else time.monotonic() + limit_s, report)
        guided = bool(pipeline.pipe.do_classifier_free_guidance)
        found = {"full_steps": runs.costs("full_steps")}
        found["guided_steps"] = runs.costs("guided_steps") if guided else _nothing(setting.steps)
    return Sensitivity(
        setting=setting.key(),
        environment=environment(setting.device, setting.dtype),
        samples=len(indices),
        steps=setting.steps,
        **found,
    )


def _nothing(steps: int) -> tuple[tuple[float, ...], ...]:
    return tuple((0.0,) * (steps - step) for step in range(steps))


class _Runs:
    """The baseline's run, kept call by call, and the runs that leave it at some step."""

    def __init__(
        self,
        pipeline: Pipeline,
        indices: Sequence[int],
        deadline: float,
        report: Callable[[str], None] | None,
    ) -> None:
        self._pipeline, self._indices, self._deadline, self._report = pipeline, indices, deadline, report
        self._steps, self._unet = pipeline.setting.steps, denoiser_of(pipeline.pipe)
        self._inputs: list[torch.Tensor] = []
        self._outputs: list[Any] = []
        with self._called(self._record):
            self._final = self._latents()
        numbers = step_numbers(pipeline.pipe.scheduler)
        if len(numbers) != len(self._outputs) or numbers[-1] != self._steps - 1:
            raise UnsupportedError(
                f"{type(pipeline.pipe.scheduler).__name__} has {len(numbers)} calls of the denoiser for "
                f"{self._steps} steps, the pipeline made {len(self._outputs)}: they cannot be told apart."
            )
        self._first = [numbers.index(step) for step in range(self._steps)]

    def costs(self, kind: Kind) -> tuple[tuple[float, ...], ...]:
        """As ``Sensitivity`` has them."""
        errors = [self._errors(kind, step, [0]) for step in range(self._steps - 1)]
        left = self._left(kind)
        rows = (
            (0.0, *(error * left[step + 2 + i] for i, error in enumerate(row))) for step, row in enumerate(errors)
        )
        return (*rows, (0.0,))

    def _left(self, kind: Kind) -> list[float]:
        """How much of a mean squared error in the latents that come to each step is in the final ones."""
        import numpy as np

        first = REUSED + 1
        count = max(0, min(FOLLOWED, self._steps - first))
        known = {self._steps: 0.0}
        for step in np.linspace(first, self._steps - 1, count).round().astype(int).tolist():
            on = [0, *range(first, self._steps - step + first)]
            *_, final = errors = self._errors(kind, step - first, on)
            if errors[REUSED - 1] and final:
                known[step] = float(np.log(final / errors[REUSED - 1]))
        at = sorted(known)
        return [float(x) for x in np.exp(np.interp(range(self._steps + 1), at, [known[step] for step in at]))]

    def _errors(self, kind: Kind, start: int, listed: Sequence[int]) -> list[float]:
        """Mean squared errors of the latents that come to steps ``start`` + 2, … and of the final ones.

        ``listed``: which steps run in full, counted from ``start``.
        """
        if time.monotonic() > self._deadline:
            raise MeasurementError("What reuse costs at each step took longer to measure than there was time.")
        if self._report:
            what = "deep features" if kind == "full_steps" else "guidance"
            self._report(f"what reuse of {what} costs: step {start + 1}/{self._steps}")
        seen: list[torch.Tensor] = []
        plan = Plan.of({METHOD: {kind: step_list(listed)}})
        with self._pipeline.installed(plan), self._called(partial(self._replay, seen, start)):
            final = self._latents()
        later = [self._first[step] for step in range(start + 2, self._steps)]
        pairs = [(seen[call], self._inputs[call]) for call in later] + [(final, self._final)]
        return [float(((x.float() - y.float()) ** 2).mean()) for x, y in pairs]

    def _latents(self) -> torch.Tensor:
        return self._pipeline.latents("search", self._indices)

    def _record(self, call_next: Callable[..., Any], sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self._inputs.append(sample.clone())
        output = call_next(sample, *args, **kwargs)
        self._outputs.append(output)
        return output

    def _replay(
        self,
        seen: list[torch.Tensor],
        start: int,
        call_next: Callable[..., Any],
        sample: torch.Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        seen.append(sample.clone())
        if len(seen) <= self._first[start]:
            return self._outputs[len(seen) - 1]
        return call_next(sample, *args, **kwargs)

    @contextmanager
    def _called(self, wrapper: Callable[..., Any]) -> Iterator[None]:
        """Every call of the denoiser goes through the wrapper, outside of what a plan has installed."""
        before, inner = vars(self._unet).get("forward"), self._unet.forward

        def forward(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            return wrapper(inner, sample, *args, **kwargs)

        self._unet.forward = forward
        try:
            yield
        finally:
            if before is None:
                del self._unet.forward
            else:
                self._unet.forward = before
