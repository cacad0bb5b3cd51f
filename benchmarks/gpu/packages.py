"""The packages DeepCache, tgate and tomesd on a pipeline of their own, which they patch for good."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from hasten.measure.bench import Bench
from hasten.measure.failures import plan_failures
from hasten.measure.pipeline import Pipeline
from hasten.measure.profile import side_of
from hasten.plan import Parameters, Plan
from hasten.script.upstream import PACKAGES

from ..steps import in_turn
from .twins import twin


def missing(plan: Plan) -> list[str]:
    """The packages of the plan's methods that are not installed."""
    return [PACKAGES[name][0] for name in plan.methods if find_spec(PACKAGES[name][0]) is None]


def beside_package(bench: Bench, plan: Plan, loader: str | None, pairs: int) -> dict[str, Any]:
    """hasten's own methods (first) and the packages (second) at the same parameters, in turn.

    ``loader``: T-GATE's, as ``upstream_calls`` names it. Raises MeasurementError.
    """
    setting = bench.setting
    with plan_failures(), twin(bench.pipe, "unet", "scheduler") as pipe:
        _patch(pipe, plan.parameters, loader)
        packages = Pipeline(pipe, setting, bench.pipeline.prompts)
        native = side_of(bench.pipeline, plan, setting.batch_size)
        other = side_of(packages, Plan(), setting.batch_size)
        return in_turn(native, other, pairs, setting.device, [bench.pipeline.denoiser, packages.denoiser])


def _patch(pipe: Any, given: dict[str, Parameters], loader: str | None) -> None:
    if "tome" in given:
        import_module("tomesd").apply_patch(pipe, **given["tome"])
    if loader is not None:
        getattr(import_module("tgate"), loader)(pipe, **given.get("deepcache", {}))
        pipe.__class__ = _calling_tgate(type(pipe), given["tgate"])
    elif "deepcache" in given:
        helper = import_module("DeepCache").DeepCacheSDHelper(pipe=pipe)
        helper.set_params(**given["deepcache"])
        helper.enable()


def _calling_tgate(pipeline: type, parameters: Parameters) -> type:
    """The pipeline's class, of which a call is one of ``pipe.tgate``: that is what the package adds."""

    def call(self: Any, **given: Any) -> Any:
        return partial(self.tgate, **parameters)(**given)

    return type(pipeline.__name__, (pipeline,), {"__call__": call})
