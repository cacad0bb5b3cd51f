"""The registry of methods, and the functions that check plans, predict their work and apply them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError, UnsupportedError
from hasten.methods._clash import clash
from hasten.methods._installed import REMOVE, is_installed
from hasten.methods._measured import Drawing, MeasuresGrid
from hasten.methods._stats import MethodStats
from hasten.methods._unfit import unfit
from hasten.methods.base import MAX_STEPS, Method, Step
from hasten.plan import Parameters, Plan
from hasten.registry import Registry

if TYPE_CHECKING:
    from hasten.methods._apply import Handle, apply

__all__ = [
    "METHODS",
    "REMOVE",
    "Drawing",
    "Handle",
    "MeasuresGrid",
    "MethodStats",
    "apply",
    "check_plan",
    "clash",
    "is_equal_time",
    "is_installed",
    "scheduler_of_plan",
    "together",
    "unfit",
    "work",
]

METHODS: Registry[Method] = Registry("method", "hasten.methods", "METHOD", Method, Method.spellings)


def check_plan(plan: Plan, pipe: Any = None, steps: int | None = None) -> Plan:
    """Returns the plan with canonical names and with defaults filled in.

    A given pipeline and a given number of steps narrow the legal values. Beside a method that shortens the run,
    the parameters of the other methods are checked against the steps that remain.

    Args:
        plan: the plan to check.
        pipe: the pipeline that it is meant for; None skips the checks that need one.
        steps: the number of denoising steps; None where it is not known.

    Raises:
        UnknownNameError: the plan names a method that does not exist.
        ParameterError: a parameter is unknown or its value is illegal.
        UnsupportedError: the pipeline cannot take a method; the message says why.
        InputError: the plan names a method twice, or two methods that cannot be used together.

    Example:
        >>> str(check_plan(Plan.parse("deepcache(cache_interval=2)")))
        'deepcache(cache_branch_id=0,cache_interval=2)'
    """
    checked: dict[str, Parameters] = {}
    beside = _steps_of_others(plan, pipe, steps)
    for name, parameters in plan.parameters.items():
        method = METHODS.get(name)
        if method.name in checked:
            raise InputError(f"The plan names {method.title} twice: {plan}.")
        reason = method.unsupported(pipe) if pipe is not None else None
        if reason:
            raise UnsupportedError(f"{method.title} cannot be used here: {reason}.")
        checked[method.name] = method.check(parameters, pipe, steps if method.shortens else beside)
    if reason := clash(METHODS.get(name) for name in checked):
        raise InputError(f"{plan}: {reason}")
    return Plan.of(checked)


def is_equal_time(plan: Plan) -> bool:
    """Returns whether the plan is an equal-time baseline itself: fewer steps of the plain pipeline and nothing
    else."""
    return bool(plan) and all(METHODS.get(name).shortens for name in plan.methods)


def scheduler_of_plan(plan: Plan) -> str:
    """Returns the name of the scheduler that a checked plan follows; empty for the pipeline's own."""
    named = (METHODS.get(name).scheduler(given) for name, given in plan.parameters.items())
    return next(filter(None, named), "")


def _steps_of_others(plan: Plan, pipe: Any, steps: int | None) -> int | None:
    """Returns the number of steps that remain for the other methods of the plan; None where it is not known."""
    shorter = {name: given for name, given in plan.parameters.items() if METHODS.get(name).shortens}
    for method, given in ((METHODS.get(name), given) for name, given in shorter.items()):
        steps = method.remaining_steps(method.check(given, pipe, steps), steps or MAX_STEPS)
    return steps


def work(plan: Plan, pipe: Any, steps: int) -> tuple[Step, ...]:
    """Returns the work that the whole plan leaves at each step, including how its methods affect each other.

    The result has fewer than ``steps`` entries where a method of the plan shortens the run.
    """
    checked = check_plan(plan, pipe, steps).parameters
    steps = min((METHODS.get(name).remaining_steps(p, steps) for name, p in checked.items()), default=steps)
    each = []
    for name, parameters in checked.items():
        others = (METHODS.get(n).refreshes(p, steps) for n, p in checked.items() if n != name)
        each.append(METHODS.get(name).steps(pipe, parameters, steps, {s for found in others for s in found}))
    return tuple(together(parts) for parts in zip(*each, strict=True)) or (Step(),) * steps


def together(parts: Sequence[Step]) -> Step:
    """Returns the work of one step at which several methods act."""
    names = {name for part in parts for name in part.blocks}
    modes = {part.self_mode for part in parts}
    return Step(
        blocks={name: prod(part.blocks.get(name, 1.0) for part in parts) for name in sorted(names)},
        self_attention=prod(part.self_attention for part in parts),
        cross_attention=prod(part.cross_attention for part in parts),
        guidance=all(part.guidance for part in parts),
        old_guidance=any(part.old_guidance for part in parts),
        variant="+".join(part.variant for part in parts if part.variant),
        resting=frozenset().union(*(part.resting for part in parts)),
        self_mode="reuse" if "reuse" in modes else "store" if "store" in modes else "run",
        merged={name: max(p.merged.get(name, 0.0) for p in parts) for part in parts for name in part.merged},
    )


def __getattr__(name: str) -> Any:
    if name not in ("Handle", "apply"):  # these need torch, which listing and checking do without
        raise AttributeError(f"module 'hasten.methods' has no attribute {name!r}")
    return getattr(import_module("hasten.methods._apply"), name)
