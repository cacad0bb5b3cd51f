"""The plans that may be tried for a task: its fixed parameters, checked, and the grids of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hasten.errors import InputError, UnsupportedError
from hasten.methods import METHODS, check_plan
from hasten.methods.base import Method
from hasten.metrics import METRICS
from hasten.plan import Parameters, Plan
from hasten.predict.space import Grids, Space, spaces
from hasten.task import Task, check_target


def check_task(task: Task, pipe: Any = None) -> dict[str, Parameters]:
    """Returns the parameters that the task fixes, checked. Where nothing is searched, defaults are filled in.

    Raises:
        InputError: a method or metric is unknown, a parameter is illegal, the target is 1x or less, the model
            cannot take a method, or there are parameters for a method that the task does not use or excludes.
    """
    check_target(task.target)
    for metric in task.max_loss:
        METRICS.canonical(metric)
    if odd := set(task.parameters) - set(task.methods if task.methods is not None else METHODS.names()):
        raise InputError(
            f"There are parameters for {', '.join(sorted(odd))}, which the request does not use: "
            "add it to the methods."
        )
    if away := set(task.parameters) & set(task.excluded):
        raise InputError(
            f"The request excludes {', '.join(sorted(away))} and gives parameters for it: do one of both."
        )
    for name in task.excluded:
        METHODS.canonical(name)
    named = {m: task.parameters.get(m, {}) for m in {*(task.methods or ()), *task.parameters}}
    full: dict[str, Parameters] = {}
    for together in [{m: given} for m, given in named.items()] if task.one_of else [named]:
        full |= check_plan(Plan.of({**together, **_all_steps(task, together)}), pipe, task.steps).parameters
    if task.mode == "explicit":
        return full
    return {m: {name: full[m][name] for name in given} for m, given in named.items() if given}


def _all_steps(task: Task, named: Mapping[str, Parameters]) -> dict[str, Parameters]:
    """Returns neutral parameters for methods that shorten the run by a number of steps that is searched for.

    The other methods may then have any parameters that are legal for all steps.
    """
    if task.mode == "explicit":
        return {}
    free = [m for m, given in named.items() if METHODS.get(m).shortens and not given]
    return {m: METHODS.get(m).neutral(steps=task.steps) or {} for m in free}


def spaces_of(task: Task, pipe: Any, fixed: Mapping[str, Any], grids: Grids | None = None) -> list[Space]:
    """Returns the grids of the plans that may be tried for a task, with the parameters that it fixes.

    Raises:
        UnsupportedError: no method supports the model.
        InputError: there is nothing to try.
    """
    methods = task.methods
    grids = {**(grids or {}), **(_exact_values() if task.lossless else {})}
    if methods is None:
        tried = (m for m in METHODS.all() if is_tried(m, task, fixed))
        methods = tuple(m.name for m in tried if m.unsupported(pipe) is None)
        if not methods:
            reasons = "; ".join(
                f"{m.name}: {m.unsupported(pipe) or 'only where it is named'}" for m in METHODS.all()
            )
            raise UnsupportedError(f"No method supports {task.model}. {reasons}")
    if task.one_of:
        alone = [spaces([m], pipe, task.steps, _only(fixed, m), any_of=False, grids=grids) for m in methods]
        found = [space for one in alone for space in one]
    else:
        found = spaces(methods, pipe, task.steps, fixed, any_of=task.methods is None, grids=grids)
    if not found:
        raise InputError(
            f"There is nothing to try: with {fixed or 'the request'}, every plan of {', '.join(methods)} is the "
            "plain pipeline. Name a method, or free a parameter."
        )
    return found


def _exact_values() -> Grids:
    """Returns the values with which exact methods are exact, by method and parameter."""
    exact = ((method.name, p) for method in METHODS.all() if method.exact for p in method.parameters())
    return {(name, p.name): tuple(v for v in p.grid if v not in p.lossy) for name, p in exact if p.lossy}


def is_tried(method: Method, task: Task, fixed: Mapping[str, Any]) -> bool:
    """Returns whether the method is tried where the request leaves the choice of methods open."""
    wanted = method.exact if task.lossless else method.by_default
    return (wanted or method.name in fixed) and method.name not in task.excluded


def _only(fixed: Mapping[str, Any], method: str) -> dict[str, Any]:
    return {name: given for name, given in fixed.items() if name == method}
