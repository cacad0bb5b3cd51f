"""Applies a plan to a pipeline, and removes it again."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from hasten.denoisers import denoiser_of
from hasten.methods import METHODS, check_plan
from hasten.methods._patch import Patches
from hasten.methods._stats import MethodStats, Tally, Tell, warn
from hasten.plan import Plan, Value, plan_of


class Handle:
    """A plan that is applied to a pipeline, usable as a context manager that removes the plan on leaving.

    ``plan`` is the applied plan with its defaults filled in. A NoEffectWarning is issued once for each method that
    left out nothing in a whole call, which can happen with few steps or without guidance.

    Example:
        >>> handle = hasten.accelerate(pipe, "deepcache(cache_interval=3)")
        >>> image = pipe("a strawberry").images[0]
        >>> handle.remove()
    """

    def __init__(self, plan: Plan, patches: Patches | None = None) -> None:
        self.plan = plan
        self._patches = patches
        self._tallies: dict[str, Tally] = {}

    @property
    def stats(self) -> dict[str, MethodStats]:
        """What each method of the plan has done since it was applied, by its name. Removal ends the counting.

        Example:
            >>> with hasten.accelerate(pipe, "tgate(gate_step=5)") as handle:
            ...     pipe("a strawberry", num_inference_steps=12)
            >>> handle.stats["tgate"].guidance_dropped
            7
        """
        return {name: tally.stats for name, tally in self._tallies.items()}

    def _install(self, pipe: Any, patches: Patches, tell: Tell) -> None:
        self._patches = patches
        for name, parameters in self.plan.parameters.items():
            self._tallies[name] = patches.add(METHODS.get(name), pipe, parameters, tell)

    def remove(self) -> None:
        """Removes the plan's methods. Handles may be removed in any order, and a second call does nothing."""
        patches, self._patches = self._patches, None
        for name in self.plan.methods if patches else ():
            patches.remove(name)  # type: ignore[union-attr]

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error and self._patches:
            self._patches.clock.break_off()
        self.remove()

    def __repr__(self) -> str:
        return f"<{self.plan} {'applied' if self._patches else 'removed'}>"


def apply(
    pipe: Any, plan: Plan | str | Mapping[str, Mapping[str, Value]], steps: int | None = None, tell: Tell = warn
) -> Handle:
    """Applies the plan to the pipeline, which is then called as before.

    Args:
        pipe: a diffusers pipeline. Other pipelines that share its denoiser are accelerated, too.
        plan: a plan, its text, or ``{"deepcache": {"cache_interval": 3}}``.
        steps: the number of steps that calls will have, against which parameters are checked; None where unknown.
        tell: called with a sentence, once for each method that had no effect in a call.

    Raises:
        UnknownNameError, ParameterError, UnsupportedError: the plan is not legal for this pipeline.
        InputError: the text is not a plan, or one of the methods is applied already.
        After an error the pipeline is unchanged.
    """
    wanted = check_plan(plan_of(plan), pipe, steps)
    if not wanted:
        return Handle(wanted)
    patches = Patches.of(denoiser_of(pipe))
    for name in wanted.methods:
        patches.require_absent(METHODS.get(name))
    handle = Handle(wanted)
    try:
        handle._install(pipe, patches, tell)
    except BaseException:
        handle.remove()
        raise
    return handle
