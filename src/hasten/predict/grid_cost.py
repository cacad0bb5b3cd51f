"""Predicts the latency of all plans of a grid at once.

A method has few kinds of steps (DeepCache: whole, or one branch alone), so that the steps of a plan are counted by
kind, and each method declares its steps once for each of its cells. Methods whose steps are all alike (ToMe) need
no counting, because they only change the cost of a kind. The latencies are then the product of two small matrices:
(plans of the other methods, kinds) and (kinds, plans of the methods with steps that are alike).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hasten.methods import METHODS, together
from hasten.methods.base import Method, Step
from hasten.plan import Parameters
from hasten.predict.space import Space
from hasten.predict.step_cost import Numbers, StepCosts, step_key

Indices = npt.NDArray[np.int64]


class GroupKey(NamedTuple):
    """What the cells of a group have in common: the number of remaining steps, the steps at which other methods
    start anew, and the scheduler that is followed in the place of the pipeline's own."""

    steps: int
    refreshes: tuple[int, ...]
    scheduler: str


@dataclass(frozen=True)
class Cells:
    """The cells of one method that occur in a space's plans: their places in the method's part of the grid, of
    ``size`` cells, and their parameters."""

    method: Method
    size: int
    places: tuple[int, ...]
    parameters: tuple[Parameters, ...]

    def grouped(self, steps: int) -> dict[GroupKey, Cells]:
        """Returns the cells in groups that have the same effect on the steps of other methods."""
        found: dict[GroupKey, list[int]] = {}
        for i, given in enumerate(self.parameters):
            remaining, refreshes = self.method.remaining_steps(given, steps), self.method.refreshes(given, steps)
            key = GroupKey(remaining, tuple(refreshes), self.method.scheduler(given))
            found.setdefault(key, []).append(i)
        return {key: self._of(chosen) for key, chosen in found.items()}

    def _of(self, chosen: Sequence[int]) -> Cells:
        places, parameters = [self.places[i] for i in chosen], [self.parameters[i] for i in chosen]
        return Cells(self.method, self.size, tuple(places), tuple(parameters))


def cells_of(space: Space) -> list[Cells]:
    """Returns the cells of each of the space's methods, in their order."""
    return [_cells(space, name) for name in space.methods]


def _cells(space: Space, name: str) -> Cells:
    own = [i for i, axis in enumerate(space.axes) if axis.method == name]
    used = space.cells.any(axis=tuple(i for i in range(len(space.axes)) if i not in own))
    axes = [space.axes[i] for i in own]
    parameters = (
        {axis.name: axis.values[i] for axis, i in zip(axes, index, strict=True)} for index in np.argwhere(used)
    )
    return Cells(METHODS.get(name), used.size, tuple(map(int, np.flatnonzero(used))), tuple(parameters))


@dataclass(frozen=True)
class _Rows:
    """The steps of several cells. ``index`` (cells, steps) holds positions in ``kinds``."""

    kinds: list[Step]
    index: Indices

    @property
    def steady(self) -> bool:
        """Whether all steps of each cell are alike and none of them affects what is stored."""
        plain = all(kind.self_mode == "run" and not kind.resting for kind in self.kinds)
        return plain and bool((self.index == self.index[:, :1]).all())


class GridCosts:
    """Predicts grids. ``calls_in`` returns how often each step calls the denoiser, given the number of steps and
    the name of the scheduler; empty for the pipeline's own."""

    def __init__(
        self, pipe: Any, steps: int, calls_in: Callable[[int, str], Sequence[int]], costs: StepCosts
    ) -> None:
        self._pipe, self._steps, self._calls_in, self._costs = pipe, steps, calls_in, costs

    def seconds(self, cells: Sequence[Cells]) -> Numbers:
        """Returns the seconds of all steps, with an axis for each method; NaN where a method has no cell.

        Besides the result it needs, for each group of cells that refresh at the same steps, a few arrays of (plans
        without the steady methods, steps), which take a few megabytes.
        """
        found = np.full([part.size for part in cells], np.nan)
        groups = [part.grouped(self._steps).items() for part in cells]
        for group in itertools.product(*groups):
            places = np.ix_(*(part.places for _, part in group))
            steps = min(key.steps for key, _ in group)
            scheduler = next((key.scheduler for key, _ in group if key.scheduler), "")
            calls = np.array(self._calls_in(steps, scheduler), np.float64)
            found[places] = self._group(list(self._rows(group, steps)), calls)
        return found

    def _rows(self, group: Sequence[tuple[GroupKey, Cells]], steps: int) -> Iterator[_Rows]:
        for at, (_, part) in enumerate(group):
            others = {step for i, (key, _) in enumerate(group) if i != at for step in key.refreshes}
            yield _indexed(part.method.steps(self._pipe, p, steps, others) for p in part.parameters)

    def _group(self, rows: Sequence[_Rows], calls: Numbers) -> Numbers:
        order = sorted(range(len(rows)), key=lambda i: rows[i].steady)
        moving = [rows[i] for i in order if not rows[i].steady]
        steady = [[r.kinds[k] for k in r.index[:, 0]] for r in (rows[i] for i in order) if r.steady]
        kinds, index = _combined(moving, len(calls))
        states, counts = self._counted(kinds, index, calls)
        price = [
            [self._costs.seconds(together((kinds[kind], *parts)), stored) for parts in itertools.product(*steady)]
            for stored, kind in states
        ]
        shape = [len(rows[i].index) for i in order]
        return (counts @ np.array(price)).reshape(shape).transpose(np.argsort(order))

    def _counted(
        self, kinds: Sequence[Step], index: Indices, calls: Numbers
    ) -> tuple[list[tuple[int, int]], Numbers]:
        """Returns the pairs (stored, kind) that occur, and how many calls of each pair the plans have: (plans,
        pairs)."""
        stored, after = self._transitions(kinds)
        state, keys = np.zeros(len(index), np.int64), np.empty_like(index)
        for step in range(index.shape[1]):
            keys[:, step] = state * len(kinds) + index[:, step]
            state = after[state, index[:, step]]
        used, numbers = np.unique(keys, return_inverse=True)
        places = np.arange(len(index))[:, None] * len(used) + numbers.reshape(index.shape)
        weights = np.broadcast_to(calls, index.shape).ravel()
        counts = np.bincount(places.ravel(), weights, places.shape[0] * len(used)).astype(np.float64)
        states = [(stored[key // len(kinds)], key % len(kinds)) for key in map(int, used)]
        return states, counts.reshape(-1, len(used))

    def _transitions(self, kinds: Sequence[Step]) -> tuple[list[int], Indices]:
        """Returns all masks of stored outputs that can occur, and the position of the next mask by (mask,
        kind)."""
        stored, after = [0], []
        for mask in stored:  # the loop itself appends to this list
            reached = [self._costs.stored(kind, mask) for kind in kinds]
            stored += [m for m in dict.fromkeys(reached) if m not in stored]
            after.append([stored.index(m) for m in reached])
        return stored, np.array(after, dtype=np.int64)


def _indexed(cells: Iterator[tuple[Step, ...]]) -> _Rows:
    numbers: dict[Any, int] = {}
    kinds: list[Step] = []
    index = []
    for steps in cells:
        row = [numbers.setdefault(step_key(step), len(numbers)) for step in steps]
        kinds += [steps[row.index(number)] for number in range(len(kinds), len(numbers))]
        index.append(row)
    return _Rows(kinds, np.array(index, dtype=np.int64))


def _combined(rows: Sequence[_Rows], steps: int) -> tuple[list[Step], Indices]:
    """Returns the combined kinds of steps of several methods, and the positions of the plans' steps in them
    (plans, steps)."""
    index = np.zeros((1, steps), np.int64)
    for part in rows:
        index = (index[:, None] * len(part.kinds) + part.index[None]).reshape(-1, steps)
    return [together(parts) for parts in itertools.product(*(part.kinds for part in rows))], index
