"""Counts what applied methods do, and tells when one of them had no effect. It imports no torch."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hasten.errors import NoEffectWarning
from hasten.methods.base import EFFECTS, Method, State, Step
from hasten.plan import Parameters

Tell = Callable[[str], object]
"""A function that is called with a sentence when a method had no effect in a call."""

UNGUIDED = "it was not guided, so that the batch has no second half (a low guidance scale, a distilled model)"
CHANGED = "the image changed too much from step to step"
ELSEWHERE = "it acts in calls of the pipeline to which it was applied, and this was none"
DROPPED = "what it stored was dropped before it could be used, as another method of the plan changed the batch"
LIBRARIES = ("hasten", "diffusers", "torch", "accelerate")
"""The packages whose frames lie between a user's call of the pipeline and a warning."""


@dataclass(frozen=True)
class MethodStats:
    """What one method did since it was applied, counted in steps of the scheduler.

    Attributes:
        runs: ways through the scheduler's steps, one a call of the pipeline.
        steps: steps in all runs.
        full: steps at which the method left nothing out.
        reused: steps at which the method returned something that an earlier step had computed.
        forecast: steps at which it forecast something from earlier steps.
        merged: steps at which it merged tokens.
        guidance_dropped: steps at which it computed one half of guidance only.
        left_out: steps that calls asked for and that were not taken; only fewer steps does that.
        runs_without_effect: runs that ended without any of these effects.

    Example:
        >>> with hasten.accelerate(pipe, "deepcache(cache_interval=3)") as handle:
        ...     pipe("a strawberry", num_inference_steps=9)
        >>> handle.stats["deepcache"].reused
        6
    """

    runs: int = 0
    steps: int = 0
    full: int = 0
    reused: int = 0
    forecast: int = 0
    merged: int = 0
    guidance_dropped: int = 0
    left_out: int = 0
    runs_without_effect: int = 0


class Tally:
    """Counts the effects of one applied method over all runs; each run counts through a ``RunTally`` of its own.

    ``tell`` is called once, at the end of the first run in which a method that should leave out work left out
    none, did not come to a part of what it does, or had no call of its pipeline to act in.
    """

    def __init__(self, method: Method, pipe: Any, parameters: Parameters, tell: Tell) -> None:
        self.method = method
        self._pipe, self._parameters, self._tell = pipe, parameters, tell
        self._counts: Counter[str] = Counter()
        self._shortened = self._told = False

    @property
    def scheduler(self) -> Any:
        """The scheduler of the pipeline that the method was applied to; None where it has none."""
        return getattr(self._pipe, "scheduler", None)

    @property
    def stats(self) -> MethodStats:
        return MethodStats(**self._counts)

    def begin(self, pipe: Any) -> RunTally:
        """Returns the tally of a run that begins in a call of that pipeline; None where no such call is known."""
        self._counts["runs"] += 1
        return RunTally(self, self._counts, elsewhere=self.method.follows_calls and pipe is not self._pipe)

    def leave_out(self, steps: int) -> None:
        """Counts the steps that a call of the pipeline, which begins now, does not take although it was asked for
        them."""
        self._counts["left_out"] += steps
        self._shortened = steps > 0

    def ended(self, steps: int, acted: bool, elsewhere: bool) -> None:
        """Counts the end of a complete run of ``steps`` steps.

        ``acted`` tells whether the method had any effect in it, and ``elsewhere`` whether it could have none,
        because it acts in the calls of another pipeline.
        """
        if not steps or not (self.method.cuts_work or elsewhere):
            return
        if not elsewhere and (acted or self._shortened):
            self._tell_once(self.method.unreached(self._parameters, steps))
            return
        self._counts["runs_without_effect"] += 1
        if self._parameters != self.method.neutral(self._pipe, steps):
            self._tell_once(self._sentence(steps, elsewhere))

    def _tell_once(self, sentence: str | None) -> None:
        if sentence and not self._told:
            self._told = True
            self._tell(f"{sentence}.")

    def _sentence(self, steps: int, elsewhere: bool) -> str:
        call = f"a call of {steps} step{'s' * (steps != 1)}"
        return f"{self.method.title} had no effect in {call}: {self._reason(steps, elsewhere)}"

    def _reason(self, steps: int, elsewhere: bool) -> str:
        declared = self.method.steps(self._pipe, self._parameters, steps)
        if elsewhere and (not self.method.shortens or len(declared) < steps):
            return ELSEWHERE
        if all(step == Step() for step in declared):
            given = ", ".join(f"{name}={value}" for name, value in self._parameters.items())
            return f"its parameters ({given}) leave all of it as it is"
        if self.method.adaptive:
            return CHANGED
        return DROPPED if all(step.guidance for step in declared) else UNGUIDED


class RunTally:
    """Counts the effects of a method in one run, told by the clock of steps and calls of the denoiser."""

    def __init__(self, tally: Tally, counts: Counter[str], elsewhere: bool) -> None:
        self._tally, self._counts, self._elsewhere = tally, counts, elsewhere
        self._step: set[str] = set()
        self._steps, self._acted = 0, False

    def step(self) -> None:
        """Counts a step that begins."""
        self._step.clear()
        self._steps += 1
        self._counts.update(("steps", "full"))

    def called(self, state: State | None) -> None:
        """Counts what the method did in a call of the denoiser, once a step. ``state`` is None where it has no
        state."""
        for effect in EFFECTS if state is not None else ():
            if getattr(state, f"did_{effect}"):
                setattr(state, f"did_{effect}", False)
                self._count(effect)

    def _count(self, effect: str) -> None:
        if effect not in self._step:
            self._counts["full"] -= not self._step
            self._counts[effect] += 1
            self._step.add(effect)
            self._acted = True

    def end(self) -> None:
        """Counts the run as complete, from its first step to its last."""
        steps, acted = self._steps, self._acted
        self.drop()
        self._tally.ended(steps, acted, self._elsewhere)

    def drop(self) -> None:
        """Discards the run, which was interrupted: what the method would have done in it is not known."""
        self._steps, self._acted = 0, False


def warn(message: str) -> None:
    """Issues a NoEffectWarning at the line of the user's own code that called the pipeline."""
    hint = " The handle's stats count what it did in all calls."
    warnings.warn(message + hint, NoEffectWarning, stacklevel=_frames_to_the_user())


def _frames_to_the_user() -> int:
    """Returns the number of frames from ``warn`` up to the first one that belongs to none of the libraries."""
    frame: FrameType | None = sys._getframe(2)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
        frame, level = frame.f_back, level + 1
    return level
