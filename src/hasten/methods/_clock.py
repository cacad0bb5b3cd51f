"""Counts the steps of a run at the denoiser's root, and notices when a new run begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch

from hasten.denoisers import sample_of, timestep_of
from hasten.methods._stats import Tally
from hasten.methods.base import State
from hasten.schedulers import step_numbers


class Clock:
    """Tells the states of all installed methods which step begins.

    A *step* is one step of the scheduler, also where it calls the denoiser several times (Heun twice;
    PNDM twice at its first step). A pipeline hands the denoiser views of the scheduler's timesteps: the
    view's place in memory tells the run and the position in it, without reading a value from the device.
    Timesteps that are no such views (numbers, tensors of their own) are followed by value.
    """

    def __init__(self) -> None:
        self.size = (0, 0)
        self.tallies: dict[str, Tally] = {}
        self._members: list[tuple[int, str, State, Any]] = []
        self._shape: tuple[int, ...] = ()
        self._track: _Track | None = None
        self._step = -1

    @property
    def ending(self) -> bool:
        """This is known to be the run's last call of the denoiser: what is kept now is never used."""
        return self._track is not None and self._track.finished

    def join(self, name: str, order: int, state: State, pipe: Any) -> None:
        """Has ``state`` told of runs and steps, outermost method first; ``pipe`` has the scheduler."""
        self._members.append((order, name, state, pipe))
        self._members.sort(key=lambda member: -member[0])
        self._track = None

    def leave(self, name: str) -> None:
        self.settle(self.tallies.pop(name))
        self._members = [member for member in self._members if member[1] != name]

    def refresh(self, by: State | None = None) -> None:
        """The batch's layout changes at this step: every other state drops what it stored."""
        for _, _, state, _ in self._members:
            if state is not by:
                state.refresh()

    def wrapper(self, call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's outermost wrapper. Shapes: sample (batch, channels, height, width), or tokens."""
        self._tick(sample_of(module, args, kwargs), timestep_of(module, args, kwargs))
        output = call_next(*args, **kwargs)
        self._count()
        if self.ending:
            self._start()  # what was stored is not needed for decoding the image, which needs the memory
        return output

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _tick(self, sample: torch.Tensor, timestep: Any) -> None:
        shape, step = tuple(sample.shape), self._track.follow(timestep) if self._track else None
        moved = shape != self._shape
        begins = step is None or (moved and isinstance(self._track, _Values))
        if step is None or begins:
            self.settle(*self.tallies.values())
            self._track, step = _begin(timestep, self._schedulers()), 0
            self._start()
        elif moved:
            self.refresh()
        elif step == self._step:
            return
        self._tell_tallies(begins, step != self._step)
        self._step, self._shape, self.size = step, shape, (shape[-2], shape[-1])
        for _, _, state, _ in self._members:
            state.step(step)

    def _schedulers(self) -> list[Any]:
        """Those that the timesteps may come from. Methods without a state have pipelines, too."""
        joined = [pipe.scheduler for _, _, _, pipe in self._members]
        return [*joined, *(tally.scheduler for tally in self.tallies.values())]

    def settle(self, *tallies: Tally) -> None:
        """No more calls of this run come: where its end could not be seen, it is taken to be over."""
        for tally in tallies:
            if isinstance(self._track, _Values):
                tally.end()
            else:
                tally.drop()

    def _tell_tallies(self, begins: bool, steps_on: bool) -> None:
        for tally in self.tallies.values():
            if begins:
                tally.begin()
            if begins or steps_on:
                tally.step()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _count(self) -> None:
        """After a call of the denoiser."""
        for tally in self.tallies.values():
            tally.called()
            if self.ending:
                tally.end()

    def _start(self) -> None:
        for _, _, state, _ in self._members:
            state.start()


class _Track(Protocol):
    """A run's way through its timesteps."""

    @property
    def finished(self) -> bool:
        """Whether the last timestep was reached."""

    def follow(self, timestep: Any) -> int | None:
        """The step of the run that ``timestep`` belongs to; None when it begins another run."""


class _Views:
    """A run over views of one tensor of timesteps. ``numbers`` has the step of each of its places."""

    def __init__(self, timestep: torch.Tensor, numbers: list[int]) -> None:
        self._held = timestep  # while this view lives, no other tensor can have its memory
        self._memory = _memory(timestep)
        self._place = timestep.storage_offset()
        self._numbers, self._first = numbers, numbers[self._place]

    @property
    def finished(self) -> bool:
        return self._place == len(self._numbers) - 1

    def follow(self, timestep: Any) -> int | None:
        if not _is_single(timestep) or _memory(timestep) != self._memory:
            return None
        place = timestep.storage_offset()
        if place <= self._place:
            return None
        self._place = place
        return self._numbers[place] - self._first


class _Values:
    """A run over timesteps of which only the value is known: a new one begins when it rises, or when a scheduler
    was given other timesteps, maybe of the same values."""

    finished = False

    def __init__(self, timestep: Any, schedulers: Iterable[Any] = ()) -> None:
        self._last, self._step = _value(timestep), 0
        self._set = [(scheduler, getattr(scheduler, "timesteps", None)) for scheduler in schedulers]

    def follow(self, timestep: Any) -> int | None:
        value = _value(timestep)
        renewed = any(getattr(scheduler, "timesteps", None) is not before for scheduler, before in self._set)
        if value > self._last or renewed:
            return None
        self._step += value < self._last
        self._last = value
        return self._step


def _begin(timestep: Any, schedulers: Sequence[Any]) -> _Track:
    if not _is_single(timestep):
        return _Values(timestep, schedulers)
    for scheduler in schedulers:
        timesteps = getattr(scheduler, "timesteps", None)
        if isinstance(timesteps, torch.Tensor) and _memory(timesteps) == _memory(timestep):
            return _Views(timestep, step_numbers(scheduler))
    if timestep.untyped_storage().nbytes() > timestep.element_size():
        return _Views(timestep, _distinct(timestep))
    return _Values(timestep, schedulers)


def _distinct(timestep: torch.Tensor) -> list[int]:
    """Steps of timesteps whose scheduler is not known: one for each value."""
    values = timestep.new_empty(0).set_(timestep.untyped_storage()).tolist()
    numbers = [0]
    for before, value in pairwise(values):
        numbers.append(numbers[-1] + (value != before))
    return numbers


def _is_single(timestep: Any) -> bool:
    """A tensor that holds one value (maybe expanded over the batch)."""
    return isinstance(timestep, torch.Tensor) and (timestep.numel() == 1 or not any(timestep.stride()))


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _value(timestep: Any) -> float:
    return float(timestep.flatten()[0]) if isinstance(timestep, torch.Tensor) else float(timestep)
