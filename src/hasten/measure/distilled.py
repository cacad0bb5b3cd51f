"""Warnings about settings that do not fit how a model was distilled, or that need a distilled model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from hasten.measure.cautions import Caution
from hasten.task import Setting

LCM = "LCM"


@dataclass(frozen=True)
class Distillation:
    """A kind of distilled weights.

    Args:
        title: its name for readers.
        words: words in names of models that tell the kind.
        most_steps: the most steps that it is made for.
        guided: whether it is made for guidance.
        trailing: whether its scheduler has to space the steps from the end (``trailing``).
    """

    title: str
    words: frozenset[str]
    most_steps: int
    guided: bool = False
    trailing: bool = False


KINDS = (
    Distillation(LCM, frozenset({"lcm"}), most_steps=8, guided=True),
    Distillation("Lightning", frozenset({"lightning"}), most_steps=8, trailing=True),
    Distillation("Turbo", frozenset({"turbo"}), most_steps=4, trailing=True),
    Distillation("Hyper-SD", frozenset({"hyper"}), most_steps=8, trailing=True),
    Distillation("TCD", frozenset({"tcd"}), most_steps=8),
    Distillation("DMD", frozenset({"dmd", "dmd2"}), most_steps=4),
    Distillation("schnell", frozenset({"schnell"}), most_steps=4, guided=True),
)
"""The kinds that are published for Stable Diffusion and FLUX. FLUX.1-schnell takes a scale and ignores it."""


def of_weights(pipe: Any, denoiser: Any, setting: Setting) -> Iterator[str]:
    """Yields warnings about what the setting asks of weights that were not made for it."""
    found = distillation_of(pipe, denoiser)
    if setting.scheduler == LCM and (found is None or found.title != LCM) and not _has_adapters(denoiser):
        yield Caution.NOT_DISTILLED.says(model=setting.model)
    if found is None:
        return
    if setting.steps > found.most_steps:
        yield Caution.MANY_STEPS.says(kind=found.title, most=found.most_steps, steps=setting.steps)
    if setting.guidance_scale > 1 and not found.guided:
        yield Caution.GUIDED.says(kind=found.title, scale=setting.guidance_scale)
    spacing = pipe.scheduler.config.get("timestep_spacing")
    if found.trailing and spacing not in (None, "trailing"):
        yield Caution.SPACING.says(kind=found.title, spacing=spacing, scheduler=setting.scheduler)


def distillation_of(pipe: Any, denoiser: Any) -> Distillation | None:
    """Returns how the weights were distilled, as far as names and the denoiser's inputs tell; None for no sign of
    it.

    A UNet with an embedded guidance scale is a latent consistency model.
    """
    if denoiser.config.get("time_cond_proj_dim") is not None:
        return KINDS[0]
    places = (pipe.config.get("_name_or_path"), denoiser.config.get("_name_or_path"))
    adapters = getattr(denoiser, "peft_config", None) or ()
    words = {word for name in (*map(_called, places), *adapters) for word in re.split(r"[^a-z0-9]+", name.lower())}
    return next((kind for kind in KINDS if kind.words & words), None)


def _called(place: object) -> str:
    """Returns the model's own name from a hub id, a folder, or a snapshot in the hub's cache."""
    parts = PurePath(str(place or "")).parts
    if "snapshots" in parts[1:]:
        return parts[parts.index("snapshots") - 1].rpartition("--")[2]
    return parts[-1] if parts else ""


def _has_adapters(denoiser: Any) -> bool:
    """Returns whether there are LoRA layers, which may come from a distillation under any name."""
    return bool(getattr(denoiser, "peft_config", None))
