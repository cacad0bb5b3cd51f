"""Notes on settings that do not fit how a model was distilled, or that ask of a plain one what only such can."""

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
    """A kind of distilled weights: the words in names that tell it, the steps that it is made for at most, whether
    it takes guidance, and whether its scheduler has to space the steps from the end (``trailing``)."""

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
    """What the setting asks of the pipeline's weights that they were not made for."""
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
    """How the weights were distilled, by what they are called and what their denoiser takes; None: no sign of it.

    A pipeline in whose UNet the scale of guidance is embedded is a latent consistency model.
    """
    if denoiser.config.get("time_cond_proj_dim") is not None:
        return KINDS[0]
    places = (pipe.config.get("_name_or_path"), denoiser.config.get("_name_or_path"))
    adapters = getattr(denoiser, "peft_config", None) or ()
    words = {word for name in (*map(_called, places), *adapters) for word in re.split(r"[^a-z0-9]+", name.lower())}
    return next((kind for kind in KINDS if kind.words & words), None)


def _called(place: object) -> str:
    """The model's own name in a hub id, a folder, or a snapshot in the hub's cache."""
    parts = PurePath(str(place or "")).parts
    if "snapshots" in parts[1:]:
        return parts[parts.index("snapshots") - 1].rpartition("--")[2]
    return parts[-1] if parts else ""


def _has_adapters(denoiser: Any) -> bool:
    """There are LoRA layers, which may be those of a distillation, whatever they are called."""
    return bool(getattr(denoiser, "peft_config", None))
