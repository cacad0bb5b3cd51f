"""The timed runs from which a profile of the denoiser's blocks is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from hasten.denoisers import sample_of
from hasten.measure._busy import watch_of
from hasten.measure._part_times import Arguments, Run, calls_in, timed
from hasten.measure.pipeline import Pipeline
from hasten.measure.stepwise import CLOCK, Calls, pieces_of, undisturbed
from hasten.measure.timing import Stopwatch
from hasten.methods import METHODS, check_plan
from hasten.plan import Plan

T = TypeVar("T")
Which = tuple[str, Plan]
"""A half, *full* with guidance or *half* without, and a probe; the empty plan is the baseline."""


class Runs:
    """Runs of both halves: without hooks, with hooks, and with hooks at the methods' probes.

    ``plain`` has the seconds of each run's pieces, cut where the denoiser is called. ``whole`` is the pipeline
    with so many steps that a GPU reaches the pace that it keeps. The runs have fewer steps, but two at least.
    """

    def __init__(self, pipeline: Pipeline, whole: Pipeline | None = None) -> None:
        calls = _calls(pipeline)
        self.pipeline = pipeline
        rows = max(sample_of(pipeline.denoiser, *call).shape[0] for call in calls)
        self.guided = rows == 2 * pipeline.setting.batch_size
        self.halves, first = {"full": pipeline}, {"full": calls[0]}
        if self.guided:
            self.halves["half"] = pipeline.at(replace(pipeline.setting, guidance_scale=1.0))
            first["half"] = _calls(self.halves["half"])[0]
        self.probes = tuple(_probes(pipeline))
        self.hooked: dict[Which, list[Run]] = {
            (half, plan): [] for half in self.halves for plan in (Plan(), *self.probes)
        }
        self.plain: dict[Which, list[list[float]]] = {
            key: [] for key in self.hooked if not key[1] or hides_hook_cost(pipeline.setting.device)
        }
        # The GPU may be the slower one with guidance, and the processor without it or with a probe's launches.
        self._watches = {(half, plan): self._watch_of(half, plan, first[half]) for half, plan in self.hooked}
        self._whole, self._long = whole, list[list[float]]()
        self._taken = 0

    def pace(self, half: str, plan: Plan) -> float:
        """Returns the seconds of a denoiser call in a whole run over those in a short one.

        A GPU that computes all the time slows its clock down. The value is 1 where the GPU waits for its
        processor.
        """
        if not self._long or self._keeps_up(half, plan):
            return 1.0
        steps = self.pipeline.setting.steps
        short, long = self.plain["full", Plan()], [pieces[steps:-1] for pieces in self._long]
        return _typical(long) / _typical([pieces[1:-1] for pieces in short])

    def warm_up(self) -> None:
        for half, plan in self.hooked:
            self._run(half, plan, lambda call: call())

    def take(self) -> None:
        """Takes one run of each kind, plain and hooked ones in turn, in reverse order every second time.

        What disturbs the machine for a while then falls on all kinds alike.
        """
        keys, device = list(self.hooked), self.pipeline.setting.device
        for half, plan in keys if self._taken % 2 == 0 else reversed(keys):
            watch = self._watches[half, plan]
            pieces = partial(pieces_of, denoiser=self.pipeline.denoiser, device=device, watch=watch)
            if (half, plan) in self.plain:
                self.plain[half, plan].append(self._run(half, plan, pieces))
            parts = partial(timed, pipe=self.pipeline.pipe, device=device, watch=watch)
            self.hooked[half, plan].append(self._run(half, plan, parts))
            if self._whole and not plan and half == "full" and not self._keeps_up(half, plan):
                self._long.append(pieces(partial(_generate, self._whole)))
        self._taken += 1

    def _keeps_up(self, half: str, plan: Plan) -> bool:
        """Returns whether the device keeps up with its processor."""
        return self._watches[half, plan][0] is CLOCK[0]

    def _watch_of(self, half: str, plan: Plan, arguments: Arguments) -> Stopwatch:
        pipeline = self.halves[half]
        with pipeline.installed(plan):
            return watch_of(pipeline, arguments)

    def _run(self, half: str, plan: Plan, taking: Callable[[Callable[[], None]], T]) -> T:
        """Returns what ``taking`` makes of one run with a plan, which is installed for it."""
        pipeline = self.halves[half]
        with pipeline.installed(plan):
            return taking(partial(_generate, pipeline))


def _generate(pipeline: Pipeline) -> None:
    pipeline.generate("search", range(pipeline.setting.batch_size))


def _calls(pipeline: Pipeline) -> list[Arguments]:
    return calls_in(partial(_generate, pipeline), pipeline.pipe)


def _typical(calls: Calls) -> float:
    return undisturbed(piece for pieces in calls for piece in pieces)


def hides_hook_cost(device: str) -> bool:
    """Returns whether the cost of hooks must be measured anew at each probe, by runs without hooks.

    A GPU can go on while hooks are launched and wait for them elsewhere, so that their cost at a probe differs
    from that in the baseline.
    """
    return device.startswith("cuda")


def _probes(pipeline: Pipeline) -> Sequence[Plan]:
    pipe = pipeline.pipe
    methods = (m for m in METHODS.all() if m.unsupported(pipe) is None)
    return [check_plan(Plan.of({m.name: given}), pipe) for m in methods for given in m.probes(pipe)]
