"""The plans that a search may try: the methods' grids, as boxes that are pruned by dominance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hasten.errors import ParameterError
from hasten.methods import METHODS, clash
from hasten.methods.base import Method, Parameter, Step
from hasten.plan import Parameters, Plan, Value

Index = tuple[int, ...]
Grids = Mapping[tuple[str, str], tuple[Value, ...]]
"""Measured values of parameters, by the names of method and parameter, the mildest first."""


@dataclass(frozen=True)
class Axis:
    """The values of one parameter, the mildest first. Where they are not ``ordered``, none counts as stronger than
    another."""

    method: str
    name: str
    values: tuple[Value, ...]
    ordered: bool = True

    def position(self, parameters: Mapping[str, Parameters]) -> int:
        """Returns the position of the plan's value; −1 without the method, which is milder than all of its
        values."""
        if self.method not in parameters:
            return -1
        return self.values.index(parameters[self.method][self.name])

    def value_of(self, parameters: Mapping[str, Parameters]) -> Value | None:
        return parameters[self.method].get(self.name)

    def stronger(self, position: int) -> slice:
        """Returns the positions of the values that are at least as strong as the one at ``position``."""
        return slice(max(position, 0), None if self.ordered or position < 0 else position + 1)

    def milder(self, position: int) -> slice:
        """Returns the positions of the values that are at most as strong as the one at ``position``."""
        return slice(0 if self.ordered else position, position + 1)


class Space:
    """All plans of one set of methods: a box with one axis for each parameter, the mildest corner first.

    A plan is *at least as strong* as another when it is so on every axis; a method that it lacks counts as weaker
    than any of its values. Dominance pruning relies on this: a stronger plan is expected to be neither slower nor
    better in quality. Cells that do the same as an earlier one, or nothing, are left out.

    Args:
        methods: the names of the methods.
        pipe: the pipeline, which adapts ranges; None for the methods' general ranges.
        steps: the number of steps, which adapts ranges; None where it is not known.
        fixed: parameters that have one value only, by method.
        grids: values measured for this setting, the mildest first. Other parameters have the values of their own
            grid.

    Example:
        >>> len(Space(["deepcache"], fixed={"deepcache": {"cache_branch_id": 0}}))
        4
    """

    def __init__(
        self,
        methods: Sequence[str],
        pipe: Any = None,
        steps: int | None = None,
        fixed: Mapping[str, Parameters] | None = None,
        grids: Grids | None = None,
    ) -> None:
        self.methods = tuple(sorted(methods))
        self.axes: tuple[Axis, ...] = ()
        self._same: dict[str, dict[Index, Index]] = {}
        legal, neutral = np.ones((), bool), np.ones((), bool)
        for name in self.methods:
            axes = _axes(METHODS.get(name), pipe, steps, (fixed or {}).get(name, {}), grids or {})
            same, idle = _method_cells(METHODS.get(name), axes, pipe, steps)
            self.axes += axes
            self._same[name] = same
            shape = tuple(len(a.values) for a in axes)
            legal = np.multiply.outer(legal, _mask(shape, set(same.values())))
            neutral = np.multiply.outer(neutral, _mask(shape, idle))
        self._all: np.ndarray = legal & ~neutral & _fits(self.axes, pipe, steps)
        self.open: np.ndarray = self._all.copy()

    def __len__(self) -> int:
        return int(self._all.sum())

    @property
    def cells(self) -> np.ndarray:
        """Where the grid has a plan, open or not: an array of bool with one axis for each parameter."""
        return self._all

    def __iter__(self) -> Iterator[Plan]:
        """Yields the plans that are still open, the mildest first and the last axis fastest. Closing plans
        meanwhile is safe."""
        for flat in range(self.open.size):
            if self.open.flat[flat]:
                yield self.plan(tuple(map(int, np.unravel_index(flat, self.open.shape))))

    def plan(self, index: Index) -> Plan:
        """Returns the plan of a cell. Of cells that do the same, it is the mildest."""
        found: dict[str, Parameters] = {name: {} for name in self.methods}
        for axis, i in zip(self.axes, self._mildest(index), strict=True):
            found[axis.method][axis.name] = axis.values[i]
        return Plan.of(found)

    def reset(self) -> None:
        """Opens all plans again."""
        self.open = self._all.copy()

    def is_open(self, plan: Plan) -> bool:
        """Returns whether this plan of the space is still to be decided."""
        return bool(self.open[self.index(plan)])

    def holds(self, plan: Plan) -> bool:
        """Returns whether the plan is one of this space."""
        given = plan.parameters
        if plan.methods != self.methods or any(a.value_of(given) not in a.values for a in self.axes):
            return False
        return bool(self._all[self.index(plan)])

    def close(self, plan: Plan) -> None:
        """Closes one plan of this space."""
        self.open[self.index(plan)] = False

    def close_stronger(self, plan: Plan) -> None:
        """Closes all plans at least as strong as ``plan``, which may belong to another space."""
        if set(plan.methods) <= set(self.methods):
            self.open[tuple(a.stronger(i) for a, i in zip(self.axes, self.index(plan), strict=True))] = False

    def close_milder(self, plan: Plan) -> None:
        """Closes all plans at most as strong as ``plan``, if it has the same methods.

        A plan without one of the methods is not known to be slower, because a method may cost more time than it
        saves.
        """
        if plan.methods == self.methods:
            self.open[tuple(a.milder(i) for a, i in zip(self.axes, self.index(plan), strict=True))] = False

    def index(self, plan: Plan) -> Index:
        """Returns the cell of a plan, which is −1 on the axes of methods that it lacks."""
        parameters = plan.parameters
        return tuple(axis.position(parameters) for axis in self.axes)

    def _mildest(self, index: Index) -> Index:
        found: Index = ()
        for name, same in self._same.items():
            width = sum(axis.method == name for axis in self.axes)
            found += same[index[len(found) : len(found) + width]]
        return found


def grid(
    methods: Sequence[str],
    pipe: Any = None,
    steps: int | None = None,
    fixed: Mapping[str, Parameters] | None = None,
) -> list[Plan]:
    """Returns the plans in the order of ``traversal``: from mildest to strongest, the last parameter fastest."""
    return list(Space(methods, pipe, steps, fixed))


def spaces(
    methods: Sequence[str],
    pipe: Any,
    steps: int,
    fixed: Mapping[str, Parameters],
    any_of: bool,
    grids: Grids | None = None,
) -> list[Space]:
    """Returns the space of all ``methods`` together or, with ``any_of``, the spaces of all subsets, smaller ones
    first.

    Each subset contains the methods whose parameters the request fixes, and no methods that clash. Empty spaces
    are left out.
    """
    sizes = range(1, len(methods) + 1) if any_of else [len(methods)]
    subsets = (s for size in sizes for s in itertools.combinations(sorted(methods), size) if set(fixed) <= set(s))
    found = [Space(subset, pipe, steps, fixed, grids) for subset in subsets if not clash(map(METHODS.get, subset))]
    return [space for space in found if len(space)]


def _mask(shape: Index, cells: set[Index]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for cell in cells:
        mask[cell] = True
    return mask


def _axes(method: Method, pipe: Any, steps: int | None, fixed: Parameters, grids: Grids) -> tuple[Axis, ...]:
    return tuple(
        Axis(method.name, p.name, _values(p, fixed, grids.get((method.name, p.name), p.grid)), p.ordered)
        for p in method.parameters(pipe, steps)
    )


def _method_cells(
    method: Method, axes: Sequence[Axis], pipe: Any, steps: int | None
) -> tuple[dict[Index, Index], set[Index]]:
    """Returns for each legal cell of one method's axes the mildest cell that does the same, and the set of cells
    that do nothing."""
    same: dict[Index, Index] = {}
    idle: set[Index] = set()
    first: dict[str, Index] = {}
    for cell, given in _given(axes):
        if not _legal(method, given, pipe, steps):
            continue
        effect, nothing = _effect(method, given, pipe, steps)
        same[cell] = first.setdefault(effect, cell)
        if nothing:
            idle.add(cell)
    return same, idle


def _given(axes: Sequence[Axis]) -> Iterator[tuple[Index, Parameters]]:
    """Yields every cell of one method's axes with its parameters."""
    for cell in itertools.product(*(range(len(a.values)) for a in axes)):
        yield cell, {axis.name: axis.values[i] for axis, i in zip(axes, cell, strict=True)}


def _fits(axes: Sequence[Axis], pipe: Any, steps: int | None) -> np.ndarray:
    """Returns an array that is False where a method leaves fewer steps than the parameters of another method
    allow.

    It has one axis for each parameter.
    """
    found = np.ones([len(a.values) for a in axes], bool)
    own = {name: [a for a in axes if a.method == name] for name in dict.fromkeys(a.method for a in axes)}
    for shorter in (name for name in own if steps and METHODS.get(name).shortens):
        others = {name: some for name, some in own.items() if name != shorter}
        for cell, given in _given(own[shorter]):
            chosen = iter(cell)
            at = tuple(slice(i := next(chosen), i + 1) if a.method == shorter else slice(None) for a in axes)
            left = METHODS.get(shorter).remaining_steps(given, steps or 0)
            for name, some in others.items():
                legal = {c for c, values in _given(some) if _legal(METHODS.get(name), values, pipe, left)}
                mask = _mask(tuple(len(a.values) for a in some), legal)
                found[at] &= mask.reshape([len(a.values) if a.method == name else 1 for a in axes])
    return found


def _legal(method: Method, given: Parameters, pipe: Any, steps: int | None) -> bool:
    """Returns whether the parameters are legal together. Values in range may not be (ToMe's ratio beside a fixed
    ``sx``)."""
    try:
        method.check(given, pipe, steps)
    except ParameterError:
        return False
    return True


def _effect(method: Method, given: Parameters, pipe: Any, steps: int | None) -> tuple[str, bool]:
    """Returns a text that is equal for parameters with equal effect, and whether they have no effect at all.

    Parameters that leave the same work at every step skip the same layers (T-GATE's intervals that reach beyond
    the gate or the end). Steps of equal cost that give other images count as different work (guidance that goes on
    or ends, FasterCache's scales). Only equal parameters are equal without a pipeline, where a method leaves out
    no work, and where the work is known only after a run.
    """
    if pipe is None or steps is None or not method.cuts_work or method.adaptive:
        return repr(given), given == method.neutral(pipe, steps)
    work = method.steps(pipe, given, steps)
    whole = all(step == Step(dict.fromkeys(step.blocks, 1.0)) for step in work)
    return repr(work), whole and len(work) == steps


def _values(p: Parameter, fixed: Parameters, grid: tuple[Value, ...]) -> tuple[Value, ...]:
    """Returns the grid's values, moved into the legal range, without duplicates; one value where fixed or without
    a grid."""
    if p.name in fixed:
        return (fixed[p.name],)
    clipped = (v if isinstance(v, str) else min(max(v, p.low), p.high) for v in grid)
    legal = tuple(dict.fromkeys(v for v in clipped if p.allowed is None or v in p.allowed))
    return legal or (p.default,)
