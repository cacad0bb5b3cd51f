"""The calls of the upstream packages, and their known faults (DeepCache 0.1.1, tgate 1.0.0, tomesd 0.1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hasten.errors import UnsupportedError
from hasten.methods import scheduler_of_plan
from hasten.plan import Plan
from hasten.task import Setting

PACKAGES = {"deepcache": ("DeepCache", "0.1.1"), "tgate": ("tgate", "1.0.0"), "tome": ("tomesd", "0.1.3")}
NO_PACKAGE = ("fewer_steps", "solver")
"""Methods that need no package: the call gets fewer steps, or the pipeline another scheduler."""
_LOADERS = {
    ("stable_diffusion", False): "TgateSDLoader",
    ("stable_diffusion", True): "TgateSDDeepCacheLoader",
    ("stable_diffusion_xl", False): "TgateSDXLLoader",
    ("stable_diffusion_xl", True): "TgateSDXLDeepCacheLoader",
    ("pixart_alpha", False): "TgatePixArtAlphaLoader",
    ("pixart_sigma", False): "TgatePixArtSigmaLoader",
}
_UNETS = ("stable_diffusion", "stable_diffusion_xl")
_SECOND_ORDER = ("Heun",)


@dataclass(frozen=True)
class Calls:
    """The calls of an upstream script: T-GATE's loader if any, imports, requirements, and known faults."""

    loader: str | None
    imports: tuple[str, ...]
    requirements: tuple[str, ...]
    faults: tuple[str, ...]


def upstream_calls(plan: Plan, setting: Setting, family: str, allow_known_wrong: bool = False) -> Calls:
    """Returns the packages' calls for a plan.

    Raises:
        UnsupportedError: no package has such a call, or the call is known to be silently wrong there and
            ``allow_known_wrong`` is not set.
    """
    refuse_missing(plan.methods, family)
    faults = tuple(_faults(plan, setting, family))
    if faults and not allow_known_wrong:
        raise UnsupportedError(
            f"{plan} is known to go wrong with the upstream packages: {'; '.join(faults)}. "
            "Use the runtime hasten, which does it right, or allow known wrong results."
        )
    loader = _LOADERS[family, "deepcache" in plan.methods] if "tgate" in plan.methods else None
    requirements = tuple(f"{p}=={v}" for m, (p, v) in PACKAGES.items() if m in plan.methods)
    return Calls(loader, tuple(_imports(plan, loader)), requirements, faults)


def refuse_missing(methods: Sequence[str], family: str) -> None:
    """Raises UnsupportedError where no package has calls for these methods on models of the family."""
    for method in methods:
        if method in NO_PACKAGE:
            continue
        if method not in PACKAGES:
            raise UnsupportedError(
                f"The method {method} has no upstream package: {', '.join(PACKAGES)} have. Use the runtime hasten."
            )
        if method != "tgate" and family not in _UNETS:
            raise UnsupportedError(f"The package {PACKAGES[method][0]} cannot take a {family}: it needs a UNet.")
    if "tgate" in methods and (family, "deepcache" in methods) not in _LOADERS:
        raise UnsupportedError(f"The package tgate has no loader for {family} with {' and '.join(methods)}.")


def _faults(plan: Plan, setting: Setting, family: str) -> Iterator[str]:
    parameters = plan.parameters
    if {"tgate", "tome"} <= parameters.keys():
        yield "T-GATE reuses tokens that ToMe merged, and they are un-merged with another step's map"
    if "tgate" in parameters and setting.guidance_scale <= 1:
        yield f"T-GATE at guidance {setting.guidance_scale:g} (not above 1) fails or mixes the images of a batch"
    scheduler = scheduler_of_plan(plan) or setting.scheduler
    if "tgate" in parameters and scheduler in _SECOND_ORDER:
        yield f"T-GATE counts the calls of {scheduler} as steps and drops guidance far too early"
    if family == "stable_diffusion_xl" and parameters.get("tome", {}).get("max_downsample") == 1:
        yield "tomesd at max_downsample=1 does nothing on SDXL, which has no attention at full resolution"


def _imports(plan: Plan, loader: str | None) -> Iterator[str]:
    if "tome" in plan.methods:
        yield "import tomesd"
    if "deepcache" in plan.methods and loader is None:
        yield "from DeepCache import DeepCacheSDHelper"
    if loader is not None:
        yield f"from tgate import {loader}"
