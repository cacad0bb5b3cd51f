"""Reasons why a pipeline's denoiser does not suit a method, as sentences without their full stop. It imports no
torch.

Each function returns None where the pipeline suits the method.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from hasten.denoisers.blocks import attentions, stacked
from hasten.denoisers.calls import denoiser_of
from hasten.denoisers.declared import Denoiser, declaration_of, denoisers

Need = Callable[[Denoiser], bool]
"""A condition that a method puts on the declaration of a denoiser."""

WEIGHT_HOOKS = {
    "layerwise_casting": "casts the weights of its layers at each call (enable_layerwise_casting)",
    "group_offloading": "moves its weights to the device and off again at each call (enable_group_offload)",
    "accelerate": "has its weights brought and taken away at each call (enable_sequential_cpu_offload)",
}
"""What hooks of diffusers, by their names, and of accelerate do with the data of weights around each call of a
module."""


def any_declared(denoiser: Denoiser) -> bool:
    """Returns True: the method needs no more than a declaration."""
    return True


def no_denoiser(pipe: Any, title: str) -> str | None:
    """Returns why a method that needs any kind of denoiser does not suit the pipeline."""
    if denoiser_of(pipe) is None:
        return f"{type(pipe).__name__} has no unet or transformer: {title} needs one"
    return None


def not_declared(pipe: Any, title: str, need: Need = any_declared) -> str | None:
    """Returns why a method that needs a declared denoiser, which satisfies ``need``, does not suit the
    pipeline."""
    if reason := no_denoiser(pipe, title):
        return reason
    denoiser = denoiser_of(pipe)
    declaration = declaration_of(denoiser)
    if declaration is not None and need(declaration):
        return None
    name = type(denoiser).__name__
    return f"the {_kind(pipe)} of {type(pipe).__name__} is a {name}: {title} needs a {_classes(need)}"


def no_unet(pipe: Any, title: str) -> str | None:
    """Returns why a method that works on the levels of a UNet does not suit the pipeline."""
    if getattr(pipe, "unet", None) is None:
        return f"{type(pipe).__name__} has no unet: {title} needs a {_classes(_has_levels)}"
    return not_declared(pipe, title, _has_levels)


def no_transformer_blocks(pipe: Any, title: str) -> str | None:
    """Returns why a method that needs self- and cross-attention over an image's tokens does not suit the
    pipeline."""
    return no_attention(pipe, title, lambda denoiser: denoiser.rows)


def no_attention(pipe: Any, title: str, need: Need = any_declared) -> str | None:
    """Returns why a method that needs attention in any transformer blocks of such denoisers does not suit the
    pipeline."""
    reason = not_declared(pipe, title, need)
    if reason is None and not any(attentions(denoiser_of(pipe))):
        name = f"the {_kind(pipe)} of {type(pipe).__name__}"
        return f"{name} has no transformer blocks: {title} has no attention to work on"
    return reason


def no_guided_batch(pipe: Any, title: str) -> str | None:
    """Returns why a method that drops half of a guided batch does not suit the pipeline."""
    return not_declared(pipe, title, lambda denoiser: denoiser.guidance == "batch")


def no_stack(pipe: Any, title: str) -> str | None:
    """Returns why a method that lets blocks of a transformer rest does not suit the pipeline."""
    reason = not_declared(pipe, title, lambda denoiser: bool(denoiser.stacks))
    if reason is None and len(stacked(denoiser_of(pipe))) < 2:
        return f"the transformer of {type(pipe).__name__} has a single block: {title} has none that could rest"
    return reason


def weights_in_other_hands(denoiser: Any, hooks: Collection[str] = tuple(WEIGHT_HOOKS)) -> str | None:
    """Returns what diffusers or accelerate does with the weights around each call, so that nothing else may change
    or keep their data; None where they do nothing.

    Only the given names of ``WEIGHT_HOOKS`` count.
    """
    for module in denoiser.modules():
        installed = _hooks_on(module)
        if found := next((name for name in hooks if name in installed), None):
            return f"the {type(denoiser).__name__} {WEIGHT_HOOKS[found]}"
    return None


def _has_levels(denoiser: Denoiser) -> bool:
    return not denoiser.stacks


def _classes(need: Need) -> str:
    """Returns the names of all declared classes that satisfy ``need``, as a list in words."""
    names = [declaration.class_name for declaration in denoisers() if need(declaration)]
    return ", ".join(names[:-1]) + f" or {names[-1]}" if names[1:] else names[0]


def _hooks_on(module: Any) -> Collection[str]:
    installed = set(getattr(vars(module).get("_diffusers_hook"), "hooks", ()))
    hook = vars(module).get("_hf_hook")
    if any(getattr(one, "offload", False) for one in getattr(hook, "hooks", (hook,))):
        installed.add("accelerate")
    return installed


def _kind(pipe: Any) -> str:
    return "transformer" if getattr(pipe, "unet", None) is None else "unet"
