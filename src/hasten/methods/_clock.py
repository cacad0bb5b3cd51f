"""Tells each call of the denoiser to which run and step it belongs, at the denoiser's root."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from hasten.denoisers import sample_of, timestep_of
from hasten.methods._caller import caller
from hasten.methods._run import MOST_CALLS, Lane, Member, Run
from hasten.methods._stats import Tally
from hasten.methods._track import Shape, Track, ends_unseen, track_of
from hasten.methods._watched import refuse_gradient, refuse_watched
from hasten.methods.base import Method, State

S = TypeVar("S", bound=State)
KEPT = 3
"""How many runs of loops that no pipeline makes are kept beside each other in a thread."""


class Current(Generic[S]):
    """Called, it gives what a method remembers for the call of the denoiser that is under way."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock, self._name = clock, name

    def __call__(self) -> S:
        return self._clock.lane.states[self._name]  # type: ignore[union-attr, return-value]


class _Call:
    """A call of a pipeline that a method is applied to, while it lasts."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe


class Clock:
    """Knows the runs that are under way: each pipeline's scheduler has its own, in each thread.

    A *step* is one step of the scheduler, also where it calls the denoiser several times (Heun twice; PNDM twice
    at its first step; guidance in two calls). Each of these calls is a ``Lane``, with states of its own. ``lane``
    is that of the call under way; without one no method acts.
    """

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.lane: Lane | None = None
        self._members: list[Member] = []
        self._runs: list[Run] = []
        self._thread = threading.local()
        self._lock = threading.RLock()  # the calls of other threads wait

    def join(self, member: Member) -> None:
        """What the method remembers is told of runs and steps, outermost method first."""
        self._members.append(member)
        self._members.sort(key=lambda member: -member.order)
        self._end(self._runs, broken=True)

    def leave(self, name: str) -> None:
        """The method of that name is taken off. Runs in which others go on are not disturbed."""
        del self.tallies[name]
        self._members = [member for member in self._members if member.name != name]
        for run in self._runs:
            run.leave(name)

    def break_off(self) -> None:
        """What methods did in the runs under way is not judged: an error came between."""
        for run in self._runs:
            run.break_off()

    def called(self, call_next: Callable[..., Any], pipe: Any, *args: Any, **kwargs: Any) -> Any:
        """The outermost wrapper of a pipeline's calls: when one is over, nothing of it is held."""
        call = _Call(pipe)
        self._calls.append(call)
        broken = True
        try:
            output = call_next(*args, **kwargs)
            broken = bool(getattr(pipe, "_interrupt", False))
            return output
        finally:
            self._calls.remove(call)
            with self._lock:
                for run in [run for run in self._runs if run.call is call]:
                    self._runs.remove(run)
                    run.over(broken)

    def wrapper(self, call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's outermost wrapper. Shapes: sample (batch, channels, height, width), or tokens."""
        outer, done = self._enter(module, args, kwargs), False
        try:
            output = call_next(*args, **kwargs)
            done = True
        finally:
            self._exit(outer, done)
        return output

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _enter(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Lane | None:
        """Returns the lane of the call that this one is made in, where it is."""
        sample = sample_of(module, args, kwargs)
        refuse_gradient(module, sample, self._methods)
        self._lock.acquire()
        outer = self.lane
        try:
            self.lane, step = self._next(module, timestep_of(module, args, kwargs), tuple(sample.shape))
            self.lane.begin(step)
        except BaseException:
            self.lane = outer
            self._lock.release()
            raise
        return outer

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _exit(self, outer: Lane | None, done: bool) -> None:
        lane, self.lane = self.lane, outer
        try:
            if lane is not None and done:
                lane.run.called(lane)
            elif lane is not None:
                self._end([lane.run], broken=True)
        finally:
            self._lock.release()

    def _next(self, denoiser: Any, timestep: Any, shape: Shape) -> tuple[Lane, int]:
        """The lane of a call with that timestep, and its step."""
        holder, thread = caller(), threading.get_ident()
        own = getattr(holder, "scheduler", None)
        call = next((c for c in reversed(self._calls) if holder is None or c.pipe is holder), None)
        mine = [run for run in self._runs if run.thread == thread and run.call is call]
        for run in reversed(mine):
            step = run.track.follow(timestep, shape)
            if step is not None and (own is not None or run.calls_at_once < MOST_CALLS or step != run.step):
                return run.lane(step, shape), step
        refuse_watched(denoiser, self._methods)
        run = self._begin(timestep, shape, own, call, mine)
        return run.lane(0, shape), 0

    def _begin(self, timestep: Any, shape: Shape, own: Any, call: _Call | None, mine: list[Run]) -> Run:
        track = track_of(timestep, own, [tally.scheduler for tally in self.tallies.values()], shape)
        over = [run for run in mine if call is not None or _is_over(run, track)]
        left = [run for run in mine if run not in over]
        self._end([*over, *left[: 1 - KEPT]])
        tallies = {name: tally.begin() for name, tally in self.tallies.items()}
        run = Run(track, threading.get_ident(), call, self._members, tallies)
        self._runs.append(run)
        return run

    def _end(self, runs: list[Run], broken: bool = False) -> None:
        """No more calls of these runs come."""
        for run in list(runs):
            if run in self._runs:
                self._runs.remove(run)
            if broken:
                run.over(broken=True)
            else:
                run.displaced()

    @property
    def _methods(self) -> list[Method]:
        return [tally.method for tally in self.tallies.values()]

    @property
    def _calls(self) -> list[_Call]:
        """The calls of pipelines under way in this thread, the innermost last."""
        if not hasattr(self._thread, "calls"):
            self._thread.calls = []
        calls: list[_Call] = self._thread.calls
        return calls


def _is_over(run: Run, track: Track) -> bool:
    """A run in the same thread has ended, now that one with that track begins."""
    same = track.scheduler is not None and run.track.scheduler is track.scheduler
    return same or run.complete or ends_unseen(run.track)
