"""The clock at the denoiser's root, which tells methods the run and the step of each call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic

import torch

from hasten.denoisers import sample_of, timestep_of
from hasten.methods._caller import caller
from hasten.methods._run import MOST_CALLS, Lane, Member, Run
from hasten.methods._stats import Tally
from hasten.methods._track import Shape, Track, ends_unseen, track_of
from hasten.methods._watched import Processors, refuse_gradient, refuse_parts
from hasten.methods.base import Method, S

KEPT = 3
"""The number of unfinished runs that one thread keeps in loops that no pipeline runs."""


class StateOf(Generic[S]):
    """Returns, when called, the state of one method for the call of the denoiser that is under way."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock, self._name = clock, name

    def __call__(self) -> S:
        return self._clock.lane.states[self._name]  # type: ignore[union-attr, return-value]


class _Call:
    """A call of a pipeline that is under way while a method is applied to it."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe


class Clock:
    """Keeps the runs that are under way, one for each pipeline's scheduler and thread.

    A *step* is one step of the scheduler, even where it calls the denoiser several times (Heun: twice; PNDM: twice
    at its first step; guidance in two calls). Each of these calls has a ``Lane`` with states of its own. ``lane``
    is the lane of the call that is under way; outside of calls it is None, and no method acts.
    """

    def __init__(self, denoiser: Any) -> None:
        self.tallies: dict[str, Tally] = {}
        self.lane: Lane | None = None
        self._processors = Processors(denoiser)
        self._processors.admit(())
        self._members: list[Member] = []
        self._runs: list[Run] = []
        self._thread = threading.local()
        self._lock = threading.RLock()  # calls from other threads wait, as the methods' state is shared

    def join(self, member: Member) -> None:
        """Adds a method whose state follows runs and steps. Methods are told in the order from the outermost
        inwards."""
        self._members.append(member)
        self._members.sort(key=lambda member: -member.order)
        self._end(self._runs, broken=True)

    def leave(self, name: str) -> None:
        """Removes the method of that name. Runs in which other methods act go on undisturbed."""
        del self.tallies[name]
        self._members = [member for member in self._members if member.name != name]
        for run in self._runs:
            run.leave(name)

    def break_off(self) -> None:
        """Drops the counts of the runs that are under way: an error interrupted them, so that they say nothing."""
        for run in self._runs:
            run.break_off()

    def called(self, call_next: Callable[..., Any], pipe: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs a call of a pipeline as its outermost wrapper, and drops the states of its runs when it ends."""
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
        """Runs a call of the denoiser as its outermost wrapper. The sample is (batch, channels, height, width) or
        (batch, tokens, channels)."""
        outer, done = self._enter(module, args, kwargs), False
        try:
            output = call_next(*args, **kwargs)
            done = True
        finally:
            self._exit(outer, done)
        return output

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _enter(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Lane | None:
        """Makes the lane of this call the current one, and returns the lane that was current before."""
        sample = sample_of(module, args, kwargs)
        refuse_gradient(module, args, kwargs, self._methods)
        self._lock.acquire()
        outer = self.lane
        try:
            self.lane, step = self._next(timestep_of(module, args, kwargs), tuple(sample.shape))
            if step and self.lane.is_at_first:
                refuse_parts(module, args, kwargs, self._methods)
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

    def _next(self, timestep: Any, shape: Shape) -> tuple[Lane, int]:
        """Returns the lane and the step of a call at this timestep. A new run begins where no known run fits."""
        holder, thread = caller(), threading.get_ident()
        own = getattr(holder, "scheduler", None)
        call = next((c for c in reversed(self._calls) if holder is None or c.pipe is holder), None)
        mine = [run for run in self._runs if run.thread == thread and run.call is call]
        for run in reversed(mine):
            step = run.track.follow(timestep, shape)
            if step is not None and (own is not None or run.calls_at_once < MOST_CALLS or step != run.step):
                return run.lane(step, shape), step
        self._processors.admit(self._methods)
        run = self._begin(timestep, shape, own, call, mine)
        return run.lane(0, shape), 0

    def _begin(self, timestep: Any, shape: Shape, own: Any, call: _Call | None, mine: list[Run]) -> Run:
        track = track_of(timestep, own, [tally.scheduler for tally in self.tallies.values()], shape)
        over = [run for run in mine if call is not None or _is_over(run, track)]
        left = [run for run in mine if run not in over]
        self._end([*over, *left[: 1 - KEPT]])
        tallies = {name: tally.begin(call.pipe if call else None) for name, tally in self.tallies.items()}
        run = Run(track, threading.get_ident(), call, self._members, tallies)
        self._runs.append(run)
        return run

    def _end(self, runs: list[Run], broken: bool = False) -> None:
        """Ends these runs; no more calls of them will come."""
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
        """The calls of pipelines that are under way in this thread, the innermost last."""
        if not hasattr(self._thread, "calls"):
            self._thread.calls = []
        calls: list[_Call] = self._thread.calls
        return calls


def _is_over(run: Run, track: Track) -> bool:
    """Returns whether the beginning of a run on ``track`` shows that ``run``, in the same thread, has ended."""
    same = track.scheduler is not None and run.track.scheduler is track.scheduler
    return same or run.complete or ends_unseen(run.track)
