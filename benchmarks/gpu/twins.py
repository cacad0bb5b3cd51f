"""What an idle method costs: a twin of the denoiser has it, and at each step both are called, one after the other.

Two calls that follow each other within a step see the same machine. Calls of the pipeline are too long for that:
on a restless machine two of them differ by several percent, and what is looked for is less than one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from hasten.measure.bench import Bench
from hasten.measure.failures import free_memory, plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.timing import synchronise
from hasten.methods import apply
from hasten.plan import Plan


@contextmanager
def twin(pipe: Any, *parts: str) -> Iterator[Any]:
    """A pipeline that has these parts of its own and shares the others; given free at the end."""
    made = copy.copy(pipe)
    for part in parts:
        setattr(made, part, copy.deepcopy(getattr(pipe, part)))
    try:
        yield made
    finally:
        made.__dict__.clear()  # packages tie the pipeline into rings with what they add
        del made
        free_memory()


def beside_twin(bench: Bench, plan: Plan, calls: int) -> dict[str, Any]:
    """Seconds of each call of the denoiser (first) and of its twin with the plan (second), in rows by calls of the
    pipeline, of which one more comes before. Raises MeasurementError.
    """
    setting, name = bench.setting, bench.pipeline.family.denoiser
    with device_lock(setting.device), plan_failures(), twin(bench.pipe, name) as pipe:
        both = _Both(bench.pipeline.denoiser, getattr(pipe, name), setting.device)
        with apply(pipe, plan, steps=setting.steps), both.called_together():
            for _ in range(calls + 1):
                both.next_row()
                bench.pipeline.generate("search", range(setting.batch_size))
    return {"first": both.first[1:], "second": both.second[1:]}


class _Both:
    """Times a denoiser and its twin, which is called with the same, in turn before it and after it."""

    def __init__(self, denoiser: torch.nn.Module, other: torch.nn.Module, device: str) -> None:
        self.first: list[list[float]] = []
        self.second: list[list[float]] = []
        self._denoiser, self._other, self._device = denoiser, other, device
        self._turn, self._start_s = 0, 0.0

    def next_row(self) -> None:
        self.first.append([])
        self.second.append([])

    @contextmanager
    def called_together(self) -> Iterator[None]:
        handles = (
            self._denoiser.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True),
            self._denoiser.register_forward_hook(self._after, with_kwargs=True),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, _: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._turn += 1
        if self._turn % 2:
            self._call_other(args, kwargs)
        self._start_s = self._now()

    def _after(self, _: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        self.first[-1].append(self._now() - self._start_s)
        if self._turn % 2 == 0:
            self._call_other(args, kwargs)

    def _call_other(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        start_s = self._now()
        self._other(*args, **kwargs)
        self.second[-1].append(self._now() - start_s)

    def _now(self) -> float:
        synchronise(self._device)
        return time.perf_counter()
