"""The grids of a joint search: what may be combined where a request leaves the choice of methods open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from hasten.errors import UnsupportedError
from hasten.methods import METHODS, clash
from hasten.methods.base import Method
from hasten.plan import Parameters, Plan, Value
from hasten.predict.space import Grids, Space
from hasten.task import Task

FEWEST, SHARES_ALONE, SHARES_BESIDE = 0.08, 24, 7
"""The least share of the steps that is tried, and the numbers of shares: alone, where a trial costs little to
choose well, and beside another method, where the grids multiply."""
VALUES = {1: 8, 2: 4, 3: 3}
"""The most values of each parameter of a method that has one, two or three; of a method with more, 2."""


@dataclass(frozen=True)
class Choice:
    """The methods that a joint search may combine, by their part in it.

    ``exact`` change no image and multiply with everything. ``shorter`` take fewer steps, ``solvers`` follow
    another scheduler, and ``others`` leave out work or compute with less precision. ``grids`` has measured values.

    Example:
        >>> choice = choice_of(task, pipe)
        >>> choice.plain(Plan())  # fewer steps, and fewer steps of another solver
    """

    pipe: Any
    steps: int
    exact: tuple[str, ...] = ()
    shorter: tuple[str, ...] = ()
    solvers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    grids: Grids = field(default_factory=dict)

    def alone(self) -> list[Space]:
        """Returns the grids of the exact methods, one for each."""
        exact = {
            (name, p.name): tuple(v for v in p.grid if v not in p.lossy)
            for name in self.exact
            for p in METHODS.get(name).parameters(self.pipe, self.steps)
        }
        return self._spaces(((name,) for name in self.exact), Plan(), exact)

    def plain(self, kept: Plan) -> list[Space]:
        """Returns the grids of the plain pipeline with fewer steps, and with fewer steps of another solver."""
        return self._spaces(self._plainly(), kept, self._shares(SHARES_ALONE))

    def singles(self, kept: Plan) -> list[Space]:
        """Returns the grids of each other method, alone and beside the plain ones."""
        return self._beside([(name,) for name in self.others], kept)

    def pairs(self, kept: Plan, of: Sequence[str]) -> list[Space]:
        """Returns the grids of each two of these methods, alone and beside the plain ones."""
        return self._beside(list(combinations(sorted(of), 2)), kept)

    def _beside(self, sets: Iterable[tuple[str, ...]], kept: Plan) -> list[Space]:
        found = [(*some, *plain) for some in sets for plain in ((), *self._plainly())]
        return self._spaces(found, kept, self._shares(SHARES_BESIDE))

    def _plainly(self) -> Iterator[tuple[str, ...]]:
        for name in self.shorter:
            yield (name,)
            yield from ((name, solver) for solver in self.solvers)

    def _shares(self, count: int) -> Grids:
        """Returns numbers of steps, evenly by their ratio: the fewest are the nearest to each other."""
        ratio = FEWEST ** (1 / count)
        numbers = dict.fromkeys(max(1, round(self.steps * ratio**i)) for i in range(1, count + 1))
        kept = tuple(number for number in numbers if number < self.steps)
        return {(m, p.name): kept for m in self.shorter for p in METHODS.get(m).parameters() if kept}

    def _spaces(self, sets: Iterable[tuple[str, ...]], kept: Plan, own: Grids) -> list[Space]:
        found = []
        for names in sets:
            whole = tuple(sorted({*names, *kept.methods}))
            if clash(map(METHODS.get, whole)):
                continue
            grids = {**self._thinned(names), **own}
            found.append(Space(whole, self.pipe, self.steps, kept.parameters, grids))
        return [space for space in found if len(space)]

    def _thinned(self, names: Sequence[str]) -> dict[tuple[str, str], tuple[Value, ...]]:
        """Returns few values of each parameter: a surrogate of the loss interpolates between them."""
        found = {}
        for method in map(METHODS.get, names):
            parameters = method.parameters(self.pipe, self.steps)
            most = max(2, VALUES.get(len(parameters), 2) - len(names) // 3)
            for p in parameters:
                found[method.name, p.name] = _evenly(self.grids.get((method.name, p.name), p.grid), most)
        return found


def choice_of(task: Task, pipe: Any, grids: Grids | None = None) -> Choice:
    """Returns what a joint search of the task may combine: every method that fits, without the excluded ones.

    Raises:
        UnsupportedError: no method supports the model.
    """
    reasons = {m.name: m.unsupported(pipe) for m in METHODS.all() if m.name not in task.excluded}
    fits = [METHODS.get(name) for name, reason in reasons.items() if reason is None]
    fits = [m for m in fits if not m.compiles or _on_gpu(pipe)]
    parts = {
        name: tuple(m.name for m in fits if _part(m) == name) for name in ("exact", "shorter", "solvers", "others")
    }
    parts["shorter"] = parts["shorter"] if task.allows_fewer_steps else ()
    parts["solvers"] = parts["solvers"] if task.allows_other_solvers else ()
    if not any(parts.values()):
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)
        raise UnsupportedError(f"No method supports {task.model}. {told}")
    return Choice(pipe, task.steps, **parts, grids=grids or {})


def _on_gpu(pipe: Any) -> bool:
    """Returns whether compiling may be tried unasked: on a CPU its first call takes minutes and gains little."""
    return getattr(pipe.device, "type", "cpu") != "cpu"


def _part(method: Method) -> str:
    if method.exact:
        return "exact"
    if method.plain:
        return "shorter" if method.shortens else "solvers"
    return "others"


def _evenly(values: Sequence[Value], most: int) -> tuple[Value, ...]:
    """Returns at most so many of the values, from the first to the last."""
    if len(values) <= most:
        return tuple(values)
    return tuple(values[round(i * (len(values) - 1) / (most - 1))] for i in range(most))


def kept_together(found: Mapping[str, Parameters]) -> Plan:
    """Returns the plan of as many of these methods, the first first, as go together."""
    kept: dict[str, Parameters] = {}
    for name, given in found.items():
        if not clash(map(METHODS.get, (*kept, name))):
            kept[name] = given
    return Plan.of(kept)
