"""The runs of a denoiser that are under way, and the states of methods in each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from hasten.methods._track import Shape, Track, ends_unseen
from hasten.methods.base import State

if TYPE_CHECKING:
    from hasten.methods._stats import RunTally

MOST_CALLS = 8
"""The most calls at equal timesteps that count as one step, in a loop that no pipeline runs."""


class Member(NamedTuple):
    """An installed method that has a state. ``make`` returns a new one: for each run where it is ``run_wide``,
    otherwise for each of the calls that a step makes."""

    order: int
    name: str
    make: Callable[[], State]
    run_wide: bool


class Lane:
    """The calls at one position within each step, where a step calls the denoiser several times: guidance in two
    calls, the tiles of a panorama, schedulers of second order.

    ``states`` has the state of each method, the outermost method first. ``step`` is the present step.
    """

    def __init__(self, run: Run, shape: Shape, states: dict[str, State]) -> None:
        self.run, self.shape, self.states = run, shape, states
        self.step = -1

    @property
    def size(self) -> tuple[int, int]:
        """The last two sides of the sample: rows and columns of latents, or tokens and channels."""
        return self.shape[-2], self.shape[-1]

    @property
    def is_at_first(self) -> bool:
        """Whether the lane has had one call at most, so that nothing of its second step has been left out yet."""
        return self.step < 1

    @property
    def is_last_call(self) -> bool:
        """Whether this call is known to be the lane's last, so that nothing stored at it would ever be used."""
        return self.run.track.finished

    def begin(self, step: int) -> None:
        """Tells the states that a call of that step begins."""
        moves, self.step = self.run.moves_to(step), step
        for name, state in self.states.items():
            state.lane = self
            if moves or not self.run.is_wide(name):
                state.step(step)

    def refresh(self, by: State | None = None) -> None:
        """Makes all states but ``by`` drop what they stored, because the layout of the batch changes at this
        step."""
        for state in self.states.values():
            if state is not by:
                state.refresh()

    def release(self) -> None:
        """Makes the states drop what they store for later calls."""
        for name, state in self.states.items():
            if not self.run.is_wide(name):
                state.start()


class Run:
    """One way through a scheduler's timesteps.

    ``call`` is the call of a pipeline that it belongs to, where that is known, and ``thread`` is the id of its
    thread.
    """

    def __init__(
        self, track: Track, thread: int, call: object, members: list[Member], tallies: dict[str, RunTally]
    ) -> None:
        self.track, self.thread, self.call, self.tallies = track, thread, call, tallies
        self._members = members
        self._wide = {m.name: m.make() for m in members if m.run_wide}
        self._lanes: dict[tuple[Shape, int], Lane] = {}
        self._seen: Counter[Shape] = Counter()
        self.step, self._told = -1, -1
        self._place, self._calls, self._calls_before = track.place, 0, 0

    def lane(self, step: int, shape: Shape) -> Lane:
        """Returns the lane of the next call, which belongs to ``step`` and has a sample of that shape."""
        if step != self.step:
            self.step = step
            self._seen.clear()
            # A lane that had no call at the last step holds states that are too old for this one.
            self._lanes = {key: lane for key, lane in self._lanes.items() if lane.step >= step - 1}
            for tally in self.tallies.values():
                tally.step()
        key = shape, self._seen[shape]
        self._seen[shape] += 1
        self._count()
        if key not in self._lanes:
            self._lanes[key] = Lane(self, shape, {m.name: self._state(m) for m in self._members})
        return self._lanes[key]

    def _state(self, member: Member) -> State:
        return self._wide[member.name] if member.run_wide else member.make()

    def _count(self) -> None:
        if self.track.place != self._place:
            self._place, self._calls_before, self._calls = self.track.place, self._calls, 0
        self._calls += 1

    def is_wide(self, name: str) -> bool:
        """Returns whether the method of that name has one state for the whole run."""
        return name in self._wide

    def moves_to(self, step: int) -> bool:
        """Returns whether the run-wide states have not been told of that step yet, and notes that they are told
        now."""
        told, self._told = self._told, step
        return told != step

    @property
    def calls_at_once(self) -> int:
        """The number of calls at the present timestep so far."""
        return self._calls

    @property
    def complete(self) -> bool:
        """Whether the last call was made: as many calls at the last timestep as at the one before."""
        return self.track.finished and self._calls >= max(1, self._calls_before)

    def called(self, lane: Lane) -> None:
        """Counts a call of the denoiser, and drops states that no later call can use: decoding needs the
        memory."""
        for name, tally in self.tallies.items():
            tally.called(lane.states.get(name))
        if lane.is_last_call:
            lane.release()
        if self.complete:
            for tally in self.tallies.values():
                tally.end()
            self._forget()

    def over(self, broken: bool) -> None:
        """Ends the run. ``broken`` means that it did not reach its end, so that its effects are not judged."""
        for tally in self.tallies.values():
            if broken:
                tally.drop()
            else:
                tally.end()
        self._forget()

    def displaced(self) -> None:
        """Ends the run because another one begins. It counts as complete where its end could not be seen."""
        self.over(broken=not ends_unseen(self.track))

    def break_off(self) -> None:
        """Discards what the methods did in this run, because an error interrupted it."""
        for tally in self.tallies.values():
            tally.drop()

    def leave(self, name: str) -> None:
        """Removes the method of that name; what it did up to here is counted."""
        if (tally := self.tallies.pop(name, None)) is not None and ends_unseen(self.track):
            tally.end()
        self._wide.pop(name, None)
        self._members = [member for member in self._members if member.name != name]
        for lane in self._lanes.values():
            lane.states.pop(name, None)

    def _forget(self) -> None:
        for lane in self._lanes.values():
            lane.release()
        self._lanes.clear()
        for state in self._wide.values():
            state.start()
