"""A run's way through its timesteps: to which step of the scheduler a call of the denoiser belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch

from hasten.schedulers import step_numbers

Shape = tuple[int, ...]


class Track(Protocol):
    """Follows the calls of one run. ``place`` grows from timestep to timestep, also within a step."""

    place: int
    scheduler: Any
    """The scheduler whose timesteps these are; None where it is not known."""

    @property
    def finished(self) -> bool:
        """Whether the last timestep was reached."""

    def follow(self, timestep: Any, shape: Shape) -> int | None:
        """The step that a call belongs to, counted from the run's first; None where it is not of this run."""


def track_of(timestep: Any, own: Any, known: Sequence[Any], shape: Shape) -> Track:
    """The track of a run that begins with that timestep.

    ``own`` is the scheduler of the pipeline that calls; None where no pipeline does. ``known`` are those of the
    pipelines that methods are applied to: in a loop of the user's own it may be one of them.
    """
    candidates = [s for s in (own, *known) if isinstance(getattr(s, "timesteps", None), torch.Tensor)]
    if _is_single(timestep):
        for scheduler in candidates:
            if _memory(scheduler.timesteps) == _memory(timestep):
                return _Views(timestep, step_numbers(scheduler), scheduler)
        if candidates[:1] == [own] and _count(timestep) == len(own.timesteps):
            return _Views(timestep, step_numbers(own), own)  # a copy, as a pipeline that saves its scheduler has
    if candidates[:1] == [own] and _Indexed.fits(own):
        return _Indexed(own)
    if _is_single(timestep) and _count(timestep) > 1:
        return _Views(timestep, _distinct(timestep), None)
    return _Values(timestep, shape, candidates[:1] if own is not None else candidates)


class _Views:
    """A run over views of one tensor of timesteps: the view's place in memory tells the run and the position in
    it, without reading a value from the device. ``numbers`` has the step of each of its places."""

    def __init__(self, timestep: torch.Tensor, numbers: list[int], scheduler: Any) -> None:
        self._held = timestep  # while this view lives, no other tensor can have its memory
        self._memory = _memory(timestep)
        self.place, self.scheduler = int(timestep.storage_offset()), scheduler
        self._numbers, self._first = numbers, numbers[self.place]

    @property
    def finished(self) -> bool:
        return self.place == len(self._numbers) - 1

    def follow(self, timestep: Any, shape: Shape) -> int | None:
        if not _is_single(timestep) or _memory(timestep) != self._memory:
            return None
        place = int(timestep.storage_offset())
        if place < self.place:
            return None
        self.place = place
        return self._numbers[place] - self._first


class _Indexed:
    """A run whose timesteps are computed from the scheduler's, as FLUX does: the scheduler itself says how far it
    has come. Values are not compared: in 16 bits those of different steps may be the same."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self._timesteps, self._numbers = scheduler.timesteps, step_numbers(scheduler)
        self._knows_first = _index(scheduler) is not None
        self._first = self.place = _index(scheduler) or 0

    @classmethod
    def fits(cls, scheduler: Any) -> bool:
        """It counts its steps, and has some left."""
        return hasattr(scheduler, "step_index") and (_index(scheduler) or 0) < len(scheduler.timesteps)

    @property
    def finished(self) -> bool:
        return self.place == len(self._numbers) - 1

    def follow(self, timestep: Any, shape: Shape) -> int | None:
        place = _index(self.scheduler)
        if self.scheduler.timesteps is not self._timesteps:
            return None
        if place is None:
            return 0  # the scheduler looks for the first step's place when that is over
        if not self._knows_first:
            self._knows_first, self._first = True, place - 1
        if not self.place <= place < len(self._numbers):
            return None
        self.place = place
        return self._numbers[place] - self._numbers[self._first]


class _Values:
    """A run over timesteps of which only the value is known: a new one begins when it rises, when a scheduler was
    given other timesteps, maybe of the same values, or when at a lower one the sample has another shape."""

    finished = False
    scheduler = None

    def __init__(self, timestep: Any, shape: Shape, schedulers: Iterable[Any] = ()) -> None:
        self.place, self._last, self._shapes = 0, _value(timestep), {shape}
        self._set = [(scheduler, scheduler.timesteps) for scheduler in schedulers]

    def follow(self, timestep: Any, shape: Shape) -> int | None:
        value = _value(timestep)
        renewed = any(scheduler.timesteps is not before for scheduler, before in self._set)
        if value > self._last or renewed or (value < self._last and shape not in self._shapes):
            return None
        self.place += value < self._last
        self._last = value
        self._shapes.add(shape)
        return self.place


def ends_unseen(track: Track) -> bool:
    """Nothing tells which call of the run is its last."""
    return isinstance(track, _Values)


def _index(scheduler: Any) -> int | None:
    """How many of its timesteps the scheduler has behind it; None where it does not know yet."""
    index = scheduler.step_index
    return index if index is not None else getattr(scheduler, "begin_index", None)


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


def _count(timestep: torch.Tensor) -> int:
    """How many numbers lie in the memory of which this is a view."""
    return int(timestep.untyped_storage().nbytes() // timestep.element_size())


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _value(timestep: Any) -> float:
    return float(timestep.flatten()[0]) if isinstance(timestep, torch.Tensor) else float(timestep)
