"""Why a pipeline cannot take a method, by what its denoiser is: sentences without their full stop. No torch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from hasten.denoisers.blocks import attentions, stacked
from hasten.denoisers.calls import denoiser_of
from hasten.denoisers.declared import Denoiser, declaration_of, denoisers

Need = Callable[[Denoiser], bool]
"""What a method asks of a declaration."""

WEIGHT_HOOKS = {
    "layerwise_casting": "casts the weights of its layers at each call (enable_layerwise_casting)",
    "group_offloading": "moves its weights to the device and off again at each call (enable_group_offload)",
    "accelerate": "has its weights brought and taken away at each call (enable_sequential_cpu_offload)",
}
"""Hooks of diffusers, by name, and of accelerate, that change the data of weights around each call of a module."""


def any_declared(denoiser: Denoiser) -> bool:
    """It is enough that the class is known."""
    return True


def no_denoiser(pipe: Any, title: str) -> str | None:
    """Why a method that needs a denoiser of any kind cannot be used on the pipeline; None when it can."""
    if denoiser_of(pipe) is None:
        return f"{type(pipe).__name__} has no unet or transformer: {title} needs one"
    return None


def not_declared(pipe: Any, title: str, need: Need = any_declared) -> str | None:
    """The same for a method that needs a denoiser whose declaration has that."""
    if reason := no_denoiser(pipe, title):
        return reason
    denoiser = denoiser_of(pipe)
    known = declaration_of(denoiser)
    if known is not None and need(known):
        return None
    name = type(denoiser).__name__
    return f"the {_kind(pipe)} of {type(pipe).__name__} is a {name}: {title} needs a {_classes(need)}"


def no_unet(pipe: Any, title: str) -> str | None:
    """The same for a method that works on the levels of a UNet."""
    if getattr(pipe, "unet", None) is None:
        return f"{type(pipe).__name__} has no unet: {title} needs a {_classes(_has_levels)}"
    return not_declared(pipe, title, _has_levels)


def no_transformer_blocks(pipe: Any, title: str) -> str | None:
    """The same for a method that works on self- and cross-attention in transformer blocks over the image."""
    return no_attention(pipe, title, lambda denoiser: denoiser.rows)


def no_attention(pipe: Any, title: str, need: Need = any_declared) -> str | None:
    """The same for a method that works on the attention in transformer blocks of any kind, in such denoisers."""
    reason = not_declared(pipe, title, need)
    if reason is None and not any(attentions(denoiser_of(pipe))):
        name = f"the {_kind(pipe)} of {type(pipe).__name__}"
        return f"{name} has no transformer blocks: {title} has no attention to work on"
    return reason


def no_guided_batch(pipe: Any, title: str) -> str | None:
    """The same for a method that drops a half of the batch that guidance takes."""
    return not_declared(pipe, title, lambda denoiser: denoiser.guidance == "batch")


def no_stack(pipe: Any, title: str) -> str | None:
    """The same for a method that lets blocks of a transformer rest."""
    reason = not_declared(pipe, title, lambda denoiser: bool(denoiser.stacks))
    if reason is None and len(stacked(denoiser_of(pipe))) < 2:
        return f"the transformer of {type(pipe).__name__} has a single block: {title} has none that could rest"
    return reason


def weights_in_other_hands(denoiser: Any, hooks: Collection[str] = tuple(WEIGHT_HOOKS)) -> str | None:
    """What diffusers does with the weights around each call, so that nobody else can change or keep their data."""
    for module in denoiser.modules():
        installed = _hooks_on(module)
        if found := next((name for name in hooks if name in installed), None):
            return f"the {type(denoiser).__name__} {WEIGHT_HOOKS[found]}"
    return None


def _has_levels(denoiser: Denoiser) -> bool:
    return not denoiser.stacks


def _classes(need: Need) -> str:
    """The names of all declared classes that have that."""
    names = [known.class_name for known in denoisers() if need(known)]
    return ", ".join(names[:-1]) + f" or {names[-1]}" if names[1:] else names[0]


def _hooks_on(module: Any) -> Collection[str]:
    installed = set(getattr(vars(module).get("_diffusers_hook"), "hooks", ()))
    hook = vars(module).get("_hf_hook")
    if any(getattr(one, "offload", False) for one in getattr(hook, "hooks", (hook,))):
        installed.add("accelerate")
    return installed


def _kind(pipe: Any) -> str:
    return "transformer" if getattr(pipe, "unet", None) is None else "unet"
