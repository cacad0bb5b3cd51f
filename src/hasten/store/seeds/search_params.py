"""``search_params.json``: plans that searches found, under the requested and under the measured speedup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.limits import Limits
from hasten.methods import METHODS
from hasten.methods.base import Parameter
from hasten.plan import Parameters, Plan, Value
from hasten.store.seeds.keys import ANY, METRIC, Key, figure, method_names, one
from hasten.store.seeds.table import Table
from hasten.task import Task

ORIGINAL = ("deepcache", "tgate", "tome")
"""The methods of the original search."""


@dataclass(frozen=True)
class Entry:
    """A plan that was found, and its figures.

    ``key`` has the methods, wherever in the file they are. ``parameters`` are legal and completed by the defaults.
    ``speedup`` is the measured one or, where the value has none, the requested one. ``score_loss`` is relative,
    and None where the value has none. ``time`` is in seconds, as in the file. ``raw`` is the value as it was read.
    """

    key: Key
    parameters: dict[str, Parameters]
    speedup: float
    score_loss: float | None
    time: float | None
    raw: Any

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the plan's methods, sorted."""
        return tuple(sorted(self.parameters))

    @property
    def plan(self) -> Plan:
        return Plan.of(self.parameters)

    @property
    def task(self) -> Task:
        """The task that was searched for."""
        return self.key.task()

    def within(self, limits: Limits) -> bool:
        """Returns whether the measured loss, or else the limit of the search, is inside the limits."""
        own = self.key.limits
        if self.score_loss is not None and own.keys() == limits.keys() == {METRIC}:
            return limits.excess(METRIC, self.score_loss) < 0
        sides = own.two_sided or not limits.two_sided
        return sides and all(metric in own and own[metric] <= limit for metric, limit in limits.items())


class SearchParams(Table[Entry]):
    """The entries of ``search_params.json``. ``Table`` describes how they are read and written."""

    def find(self, task: Task) -> Entry | None:
        """Returns the entry that answers a task, or None.

        For a target speedup, the entry has the same model, scheduler, steps and methods (any, where the task
        leaves them open) and the parameters that the task fixes. It is at least as fast as asked and within the
        limits; of several entries the one nearest to the request is returned. For an upper bound, it is the entry
        under exactly that key. No entry answers a latency or a task that names its whole plan, because the file
        does not name the machine of the measurement. No entry answers a task with its own resolution, guidance,
        batch or device either, because the file does not hold these.
        """
        if task.own_setting:
            return None
        if task.mode == "bound":
            return self._bound(task)
        if task.target is None or task.target.speedup is None:
            return None
        asked = task.target.speedup
        found = (e for e in self.entries if e.speedup >= asked and _same_setting(e, task) and _serves(e, task))
        return min(found, key=lambda e: (e.speedup, e.score_loss or 0.0), default=None)

    def add(self, answer: Answer) -> tuple[Key, ...]:
        """Stores the plan of an answer.

        A met or likely answer is stored under the requested and the measured speedup and, for an upper bound,
        under the key of the bound. Of an infeasible answer the best plan is stored under the measured speedup.

        Returns:
            the keys; none where the answer has no plan of methods with a speedup, or where its task has its own
                setting.
        """
        held = answer.status in ("met", "likely") and answer.verified is not False
        shown, task = (answer if held else answer.best), answer.task
        methods = shown.plan.methods if shown else ()
        if shown is None or shown.speedup is None or not methods or task.own_setting:
            return ()
        named = task.of_plan(task.parameters, methods)
        keys = {Key.of(named, speedup) for speedup in _speedups(task, shown, held)}
        keys |= {Key.of(task)} if held and task.mode == "bound" and not task.chooses else set()
        for key in keys:
            self._put(key, _value(shown, methods))
        return tuple(sorted(keys, key=str))

    def _bound(self, task: Task) -> Entry | None:
        found = (e for e in self.entries if e.key == Key.of(task) and not task.chooses)
        return max(found, key=lambda e: e.speedup, default=None)

    def _entry(self, key: Key, value: Any) -> Entry:
        held = one(value)
        if not isinstance(held, dict):
            raise InputError(f"The value is {value!r}: an object with parameters was expected.")
        parameters = _parameters(key, held)
        speedup = held.get("speedup", key.speedup)
        if speedup is None:
            raise InputError("There is no speedup, neither in the key nor in the value.")
        loss, time = held.get("score_loss"), held.get("time")
        return Entry(
            key if key.methods else replace(key, methods=tuple(sorted(parameters))),
            parameters,
            figure("speedup", speedup),
            None if loss is None else figure("score_loss", loss),
            None if time is None else figure("time", time),
            value,
        )


def _same_setting(entry: Entry, task: Task) -> bool:
    key, asked = entry.key, Key.of(task)
    return (key.model, key.scheduler, key.steps) == (asked.model, asked.scheduler, asked.steps)


def _serves(entry: Entry, task: Task) -> bool:
    fixed = all(given.items() <= entry.parameters.get(m, {}).items() for m, given in task.parameters.items())
    return fixed and task.allows(entry.methods) and entry.within(task.limits)


def _speedups(task: Task, shown: Answer, held: bool) -> Iterable[float]:
    if shown.speedup is not None:
        yield shown.speedup
    if held and task.target is not None and task.target.speedup is not None:
        yield task.target.speedup


def _value(shown: Answer, methods: tuple[str, ...]) -> dict[str, Any]:
    pairs = {(name, value) for given in shown.parameters.values() for name, value in given.items()}
    flat = {name: value for given in shown.parameters.values() for name, value in given.items()}
    # two methods may give one name different values, and the text of the plan tells them apart
    shared = {"plan": str(shown.plan)} if len(pairs) > len(flat) else {}
    measured = shown.confirmed.losses.get(METRIC) if shown.confirmed else None
    return {
        **flat,
        **shared,
        "speedup": shown.speedup,
        "score_loss": measured.loss if measured else shown.quality_loss,
        "time": shown.latency_s,
        "search_targets": list(methods),
        "status": shown.status,
    }


def _parameters(key: Key, value: Mapping[str, Any]) -> dict[str, Parameters]:
    """Returns the parameters by method, for the methods that the key, the value or the parameters' names tell."""
    if isinstance(plan := value.get("plan"), str):
        return {name: METHODS.get(name).check(given, steps=key.steps) for name, given in _parsed(plan).items()}
    methods = key.methods
    if methods in (None, ANY):
        named = value.get("search_targets")
        methods = method_names(named) if named else _owners(value)
    if not methods:
        raise InputError("Neither the key nor the value names a method.")
    return {method: _legal(method, value, key.steps) for method in methods}


def _owners(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the methods that these parameters belong to. Only methods from the time when values did not name
    them are considered, because later methods have parameters of the same names."""
    by_method = {name: METHODS.get(name).parameters() for name in ORIGINAL}
    return tuple(name for name, parameters in by_method.items() if any(p.name in value for p in parameters))


def _parsed(plan: str) -> dict[str, Parameters]:
    return {METHODS.canonical(name): given for name, given in Plan.parse(plan).parameters.items()}


def _legal(name: str, value: Mapping[str, Any], steps: int) -> Parameters:
    method = METHODS.get(name)
    parameters = method.parameters(steps=steps)
    given = {p.name: _effective(p, value[p.name]) for p in parameters if value.get(p.name) is not None}
    if not given:
        names = ", ".join(p.name for p in parameters)
        raise InputError(f"There is no parameter of {method.title}; it has: {names}.")
    return method.check(given, steps=steps)


def _effective(parameter: Parameter, value: Any) -> Value:
    """Returns the legal value with the same effect. The original's grid also has values beyond what has an effect,
    such as a ratio of 0.9 where at most 0.75 can be merged, or layers at 3 times the size, which no UNet has."""
    if parameter.kind is str:
        return value if isinstance(value, str) or parameter.allowed else int(figure(parameter.name, value))
    number: float = figure(parameter.name, value)
    if parameter.allowed is not None:
        number = max((a for a in map(float, parameter.allowed) if a <= number), default=number)
    number = min(number, parameter.high)
    return int(number) if parameter.kind is int and number == int(number) else number
