"""The plans that may be tried: the original's grids, as boxes that can be pruned by dominance."""

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
"""Measured values of parameters, by method and parameter, mildest first."""


@dataclass(frozen=True)
class Axis:
    """The values of one parameter, mildest first; none stronger than another where they are not ``ordered``."""

    method: str
    name: str
    values: tuple[Value, ...]
    ordered: bool = True

    def position(self, parameters: Mapping[str, Parameters]) -> int:
        """Where the plan stands on this axis; −1 without the method: milder than all of its values."""
        if self.method not in parameters:
            return -1
        return self.values.index(parameters[self.method][self.name])

    def value_of(self, parameters: Mapping[str, Parameters]) -> Value | None:
        return parameters[self.method].get(self.name)

    def stronger(self, position: int) -> slice:
        """The values at least as strong as the one there."""
        return slice(max(position, 0), None if self.ordered or position < 0 else position + 1)

    def milder(self, position: int) -> slice:
        """The values at most as strong as the one there."""
        return slice(0 if self.ordered else position, position + 1)


class Space:
    """All plans of one set of methods: a box with an axis a parameter, mildest corner first.

    A parameter's values are those that ``grids`` has for it, measured for this setting and mildest first; else
    those of its own grid.

    A plan is *at least as strong* as another when it is on every axis; a method it lacks counts as weaker
    than any of its values. Dominance pruning rests on that: a stronger plan is expected neither slower nor
    better in quality. Cells equal to an earlier one, and those that change nothing, are left out.
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
        """Where the grid has a plan, open or not: bool, an axis a parameter."""
        return self._all

    def __iter__(self) -> Iterator[Plan]:
        """The plans still open, mildest first, the last axis fastest; pruning while iterating is fine."""
        for flat in range(self.open.size):
            if self.open.flat[flat]:
                yield self.plan(tuple(map(int, np.unravel_index(flat, self.open.shape))))

    def plan(self, index: Index) -> Plan:
        """The plan of a cell; of cells that are equal, the mildest."""
        found: dict[str, Parameters] = {name: {} for name in self.methods}
        for axis, i in zip(self.axes, self._mildest(index), strict=True):
            found[axis.method][axis.name] = axis.values[i]
        return Plan.of(found)

    def reset(self) -> None:
        """Opens all plans again."""
        self.open = self._all.copy()

    def is_open(self, plan: Plan) -> bool:
        """The plan, one of this space, is not settled."""
        return bool(self.open[self.index(plan)])

    def holds(self, plan: Plan) -> bool:
        """The plan is one of this space's."""
        given = plan.parameters
        if plan.methods != self.methods or any(a.value_of(given) not in a.values for a in self.axes):
            return False
        return bool(self._all[self.index(plan)])

    def close(self, plan: Plan) -> None:
        """Takes one plan of this space out."""
        self.open[self.index(plan)] = False

    def close_stronger(self, plan: Plan) -> None:
        """Takes out all plans at least as strong as ``plan``, which may be of another space."""
        if set(plan.methods) <= set(self.methods):
            self.open[tuple(a.stronger(i) for a, i in zip(self.axes, self.index(plan), strict=True))] = False

    def close_milder(self, plan: Plan) -> None:
        """Takes out all plans at most as strong as ``plan``. Only with the same methods: adding a method
        may cost more time than it saves, so a plan without it is not known to be slower."""
        if plan.methods == self.methods:
            self.open[tuple(a.milder(i) for a, i in zip(self.axes, self.index(plan), strict=True))] = False

    def index(self, plan: Plan) -> Index:
        """The cell of a plan of this space; −1 on the axes of methods that it lacks."""
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
    """The plans of ``traversal`` in its order: mildest to strongest, the last parameter fastest."""
    return list(Space(methods, pipe, steps, fixed))


def spaces(
    methods: Sequence[str],
    pipe: Any,
    steps: int,
    fixed: Mapping[str, Parameters],
    any_of: bool,
    grids: Grids | None = None,
) -> list[Space]:
    """The space of all ``methods`` together; with ``any_of``, of every subset, smaller ones first.

    A subset always holds the methods whose parameters the request fixes, and none that clash.
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
    known = method.parameters(pipe, steps)
    return tuple(
        Axis(method.name, p.name, _values(p, fixed, grids.get((method.name, p.name), p.grid)), p.ordered)
        for p in known
    )


def _method_cells(
    method: Method, axes: Sequence[Axis], pipe: Any, steps: int | None
) -> tuple[dict[Index, Index], set[Index]]:
    """For every cell of one method's axes the mildest cell that does the same; the cells that do nothing."""
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
    """Every cell of one method's axes, and its parameters."""
    for cell in itertools.product(*(range(len(a.values)) for a in axes)):
        yield cell, {axis.name: axis.values[i] for axis, i in zip(axes, cell, strict=True)}


def _fits(axes: Sequence[Axis], pipe: Any, steps: int | None) -> np.ndarray:
    """False where a method leaves fewer steps than the parameters of one beside it allow; an axis a parameter."""
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
    """Legal together: what is in range alone may not be beside a fixed parameter (ToMe's ratio and stride)."""
    try:
        method.check(given, pipe, steps)
    except ParameterError:
        return False
    return True


def _effect(method: Method, given: Parameters, pipe: Any, steps: int | None) -> tuple[str, bool]:
    """What the parameters come to: the work at every step; and whether that is the baseline's.

    Parameters that leave the same work at every step skip the same layers (T-GATE's intervals that reach
    beyond the gate or the end). Steps that cost the same and draw another image are not the same work (guidance
    that goes on and guidance that ends, FasterCache's scales). Without a pipeline, where no work is left out,
    and where it is known only when it has run, only equal parameters are equal.
    """
    if pipe is None or steps is None or not method.cuts_work or method.adaptive:
        return repr(given), given == method.neutral(pipe, steps)
    work = method.steps(pipe, given, steps)
    whole = all(step == Step(dict.fromkeys(step.blocks, 1.0)) for step in work)
    return repr(work), whole and len(work) == steps


def _values(p: Parameter, fixed: Parameters, grid: tuple[Value, ...]) -> tuple[Value, ...]:
    """The grid's values, moved into the legal range, each once; one value where fixed or without a grid."""
    if p.name in fixed:
        return (fixed[p.name],)
    clipped = (v if isinstance(v, str) else min(max(v, p.low), p.high) for v in grid)
    legal = tuple(dict.fromkeys(v for v in clipped if p.allowed is None or v in p.allowed))
    return legal or (p.default,)
