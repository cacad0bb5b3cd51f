"""The timed runs that a profile of the denoiser's blocks is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from hasten.measure._busy import watch_of
from hasten.measure._hooks import Run, calls_in, timed
from hasten.measure.pieces import pieces_of
from hasten.measure.pipeline import Pipeline
from hasten.methods import METHODS, check_plan
from hasten.methods._denoiser import sample_of
from hasten.plan import Plan

T = TypeVar("T")
Which = tuple[str, Plan]
"""The half, *full* with guidance and *half* without, and the probe; the empty plan is the baseline."""


class Runs:
    """Runs of both halves: without hooks, with hooks, and with hooks at the probes.

    ``plain`` has the seconds of each run's pieces, cut where the denoiser is called.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        images = pipeline.setting.batch_size
        calls = calls_in(lambda: pipeline.generate("search", range(images)), pipeline.pipe)
        self.pipeline, self._watch = pipeline, watch_of(pipeline, calls[0])
        self.guided = max(sample_of(pipeline.denoiser, *call).shape[0] for call in calls) == 2 * images
        self.halves = {"full": pipeline}
        if self.guided:
            self.halves["half"] = pipeline.at(replace(pipeline.setting, guidance_scale=1.0))
        self.probes = tuple(_probes(pipeline))
        self.hooked: dict[Which, list[Run]] = {
            (half, plan): [] for half in self.halves for plan in (Plan(), *self.probes)
        }
        self.plain: dict[Which, list[list[float]]] = {
            key: [] for key in self.hooked if not key[1] or hides(pipeline.setting.device)
        }
        self._taken = 0

    def warm_up(self) -> None:
        for half, plan in self.hooked:
            self._run(half, plan, lambda call: call())

    def take(self) -> None:
        """One run of each, plain and hooked ones in turn, every second time from the last to the first: what
        disturbs the machine for a while falls on all kinds alike."""
        keys, device = list(self.hooked), self.pipeline.setting.device
        for half, plan in keys if self._taken % 2 == 0 else reversed(keys):
            if (half, plan) in self.plain:
                pieces = partial(pieces_of, denoiser=self.pipeline.denoiser, device=device, watch=self._watch)
                self.plain[half, plan].append(self._run(half, plan, pieces))
            parts = partial(timed, pipe=self.pipeline.pipe, device=device, watch=self._watch)
            self.hooked[half, plan].append(self._run(half, plan, parts))
        self._taken += 1

    def _run(self, half: str, plan: Plan, taking: Callable[[Callable[[], None]], T]) -> T:
        """What is taken of one run by a plan, which is installed for it."""
        pipeline = self.halves[half]
        with pipeline.installed(plan):
            return taking(lambda: pipeline.generate("search", range(pipeline.setting.batch_size)))


def hides(device: str) -> bool:
    """A GPU can go on while hooks are launched, and wait for them elsewhere: what they cost in a run at a probe is
    not what they cost in the baseline, and a run without them must tell it."""
    return device.startswith("cuda")


def _probes(pipeline: Pipeline) -> Sequence[Plan]:
    pipe = pipeline.pipe
    methods = (m for m in METHODS.all() if m.unsupported(pipe) is None)
    return [check_plan(Plan.of({m.name: given}), pipe) for m in methods for given in m.probes(pipe)]
