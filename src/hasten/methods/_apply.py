"""Applying a plan to a pipeline, and taking it off again."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from hasten.errors import InputError
from hasten.methods import METHODS, check_plan
from hasten.methods._denoiser import denoiser_of
from hasten.methods._patch import Patches
from hasten.plan import Plan, Value


class Handle:
    """A plan that is applied to a pipeline. A context manager: leaving it removes the plan.

    ``plan`` is the applied plan, completed by the defaults.
    """

    def __init__(self, plan: Plan, patches: Patches | None) -> None:
        self.plan = plan
        self._patches = patches

    def remove(self) -> None:
        """Takes the plan's methods off, in any order with other handles; a second time nothing happens."""
        patches, self._patches = self._patches, None
        for name in self.plan.methods if patches else ():
            patches.remove(name)  # type: ignore[union-attr]

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<{self.plan} {'applied' if self._patches else 'removed'}>"


def apply(pipe: Any, plan: Plan | str | Mapping[str, Mapping[str, Value]], steps: int | None = None) -> Handle:
    """Applies the plan to the pipeline; ``pipe(...)`` is then called as before.

    Args:
        pipe: a diffusers pipeline. Other pipelines that share its denoiser are accelerated as well.
        plan: a plan, its text, or ``{"deepcache": {"cache_interval": 3}}``.
        steps: the number of steps, where known: parameters are then checked against it.

    Raises:
        UnknownNameError, ParameterError, UnsupportedError: the plan is not legal for this pipeline.
        InputError: the plan's text is no plan, or one of its methods is applied already.
        In each case nothing was changed.
    """
    wanted = check_plan(_plan_of(plan), pipe, steps)
    if not wanted:
        return Handle(wanted, None)
    patches = Patches.of(denoiser_of(pipe))
    for name in wanted.methods:
        patches.require_absent(METHODS.get(name))
    handle = Handle(wanted, patches)
    try:
        for name, parameters in wanted.parameters.items():
            patches.add(METHODS.get(name), pipe, parameters)
    except BaseException:
        handle.remove()
        raise
    return handle


def _plan_of(plan: Plan | str | Mapping[str, Mapping[str, Value]]) -> Plan:
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, str):
        return Plan.parse(plan)
    if isinstance(plan, Mapping) and all(isinstance(p, Mapping) for p in plan.values()):
        return Plan.of(plan)
    raise InputError(
        f"{plan!r} is not a plan: give its text, such as 'deepcache(cache_interval=3)', or a mapping."
    )
