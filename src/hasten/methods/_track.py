"""Finds the scheduler's step that a call of the denoiser belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch

from hasten.schedulers import step_numbers

Shape = tuple[int, ...]


class Track(Protocol):
    """Follows the calls of one run. ``place`` grows with each new timestep, also within a step."""

    place: int
    scheduler: Any
    """The scheduler that the timesteps come from; None where it is not known."""

    @property
    def finished(self) -> bool:
        """Whether the run has reached its last timestep."""

    def follow(self, timestep: Any, shape: Shape) -> int | None:
        """Returns the step of a call, counted from the run's first, or None where the call is not of this run."""


def track_of(timestep: Any, own: Any, applied: Sequence[Any], shape: Shape) -> Track:
    """Returns the track of a run that begins at that timestep.

    ``own`` is the scheduler of the calling pipeline, or None where no pipeline calls. ``applied`` are the
    schedulers of the pipelines that methods are applied to: a loop of the user's own may use one of them.
    """
    candidates = [s for s in (own, *applied) if isinstance(getattr(s, "timesteps", None), torch.Tensor)]
    if _is_single(timestep):
        for scheduler in candidates:
            if _memory(scheduler.timesteps) == _memory(timestep):
                return _Views(timestep, step_numbers(scheduler), scheduler)
        if candidates[:1] == [own] and _count(timestep) == len(own.timesteps):
            return _Views(timestep, step_numbers(own), own)  # a pipeline that keeps its scheduler has a copy
    if candidates[:1] == [own] and _Indexed.fits(own):
        return _Indexed(own)
    if _is_single(timestep) and _count(timestep) > 1:
        return _Views(timestep, _distinct(timestep), None)
    return _Values(timestep, shape, candidates[:1] if own is not None else candidates)


class _Views:
    """Follows timesteps that are views of one tensor.

    The memory of the view tells the run and the position in it, so that no value is read from the device.
    ``numbers`` has the step of each position.
    """

    def __init__(self, timestep: torch.Tensor, numbers: list[int], scheduler: Any) -> None:
        self._held = timestep  # keeps the memory from being reused by another tensor
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
    """Follows timesteps that a pipeline computes from its scheduler's, as FLUX does, by the scheduler's own index.

    Values are not compared, because in 16 bits those of different steps may be equal.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self._timesteps, self._numbers = scheduler.timesteps, step_numbers(scheduler)
        self._knows_first = _index(scheduler) is not None
        self._first = self.place = _index(scheduler) or 0

    @classmethod
    def fits(cls, scheduler: Any) -> bool:
        """Returns whether the scheduler counts its steps and has some left."""
        return hasattr(scheduler, "step_index") and (_index(scheduler) or 0) < len(scheduler.timesteps)

    @property
    def finished(self) -> bool:
        return self.place == len(self._numbers) - 1

    def follow(self, timestep: Any, shape: Shape) -> int | None:
        place = _index(self.scheduler)
        if self.scheduler.timesteps is not self._timesteps:
            return None
        if place is None:
            return 0  # the scheduler sets its index at the end of the first step
        if not self._knows_first:
            self._knows_first, self._first = True, place - 1
        if not self.place <= place < len(self._numbers):
            return None
        self.place = place
        return self._numbers[place] - self._numbers[self._first]


class _Values:
    """Follows timesteps by their values alone.

    A new run begins when the value rises, when a scheduler was given new timesteps, perhaps of equal values, or
    when the sample has another shape at a lower value.
    """

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
    """Returns whether nothing tells which call of the run is its last."""
    return isinstance(track, _Values)


def _index(scheduler: Any) -> int | None:
    """Returns the number of timesteps that the scheduler has behind it, or None where it does not know yet."""
    index = scheduler.step_index
    return index if index is not None else getattr(scheduler, "begin_index", None)


def _distinct(timestep: torch.Tensor) -> list[int]:
    """Returns the step of each timestep where no scheduler is known: equal neighbouring values are one step."""
    values = timestep.new_empty(0).set_(timestep.untyped_storage()).tolist()
    numbers = [0]
    for before, value in pairwise(values):
        numbers.append(numbers[-1] + (value != before))
    return numbers


def _is_single(timestep: Any) -> bool:
    """Returns whether this is a tensor of one value, perhaps expanded over the batch."""
    return isinstance(timestep, torch.Tensor) and (timestep.numel() == 1 or not any(timestep.stride()))


def _count(timestep: torch.Tensor) -> int:
    """Returns the number of values in the memory that this tensor is a view of."""
    return int(timestep.untyped_storage().nbytes() // timestep.element_size())


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _value(timestep: Any) -> float:
    return float(timestep.flatten()[0]) if isinstance(timestep, torch.Tensor) else float(timestep)
