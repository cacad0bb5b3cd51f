"""Reads the setting of a pipeline object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.measure._defaults import known_model, prompts_of
from hasten.measure.identity.modules import weights_digest
from hasten.measure.pipeline import Pipeline, known_family
from hasten.measure.prompts import PromptSet
from hasten.models import model_at, usual_argument
from hasten.schedulers import scheduler_of
from hasten.task import Setting

if TYPE_CHECKING:
    import torch


def setting_of(
    pipe: Any,
    *,
    steps: int,
    height: int | None = None,
    width: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 1,
    model_name: str | None = None,
) -> Setting:
    """Returns the setting of a pipeline object that the user already has.

    Args:
        pipe: the pipeline.
        steps: the number of denoising steps.
        height: the images' height in pixels; None for the pipeline's default.
        width: the images' width in pixels; None for the pipeline's default.
        guidance_scale: None for the model's usual scale where it is known, and else the pipeline's default.
        batch_size: the number of images a call.
        model_name: the name of the model; None for the registry's name or the place that it was loaded from.

    Raises:
        InputError: hasten has no family for the pipeline's class, or a number is out of range.
    """
    denoiser = getattr(pipe, known_family(pipe).denoiser)
    rows, columns = _usual_size(pipe, denoiser)
    model = model_at(str(pipe.config.get("_name_or_path")))
    if guidance_scale is None:
        guidance_scale = model.guidance_scale if model else usual_argument(pipe, "guidance_scale")
    return checked(
        Setting(
            model=model_name or (model.name if model else _model_name(pipe, denoiser)),
            scheduler=scheduler_name(pipe.scheduler),
            steps=steps,
            height=rows if height is None else height,
            width=columns if width is None else width,
            guidance_scale=guidance_scale,
            batch_size=batch_size,
            dtype=str(denoiser.dtype).removeprefix("torch."),
            device=str(pipe._execution_device),
        )
    )


def pipeline_of(
    pipe: Any,
    *,
    prompts: str | Path | Sequence[str] | PromptSet | None = None,
    seed: int = 0,
    **given: Any,
) -> Pipeline:
    """Returns a pipeline object in its own setting, with the prompts that measure it.

    ``given`` are the other arguments of ``setting_of``.
    """
    setting = setting_of(pipe, **given)
    return Pipeline(pipe, setting, prompts_of(prompts, known_model(setting.model)), seed)


def _usual_size(pipe: Any, denoiser: torch.nn.Module) -> tuple[int, int]:
    """Returns the default height and width in pixels: the denoiser's or, where it has none, the pipeline's."""
    sample = getattr(denoiser.config, "sample_size", None) or getattr(pipe, "default_sample_size", None)
    size = [sample, sample] if isinstance(sample, int) else sample
    if not isinstance(size, list | tuple) or [type(side) for side in size] != [int, int]:
        raise InputError(
            f"The sample_size of the {type(denoiser).__name__} is {sample!r}: one or two numbers were expected in "
            "its config.json. Mend it; that of a model's publisher has them."
        )
    rows, columns = size
    return rows * pipe.vae_scale_factor, columns * pipe.vae_scale_factor


def checked(setting: Setting) -> Setting:
    """Returns the setting. Raises InputError for a number that is out of range."""
    for name in ("steps", "height", "width", "batch_size"):
        value = getattr(setting, name)
        if value < 1:
            raise InputError(f"The setting's {name} is {value}: allowed is 1 or more.")
    if not (math.isfinite(setting.guidance_scale) and setting.guidance_scale >= 0):
        raise InputError(f"The setting's guidance_scale is {setting.guidance_scale}: allowed is 0 or more.")
    return setting


def scheduler_name(scheduler: Any) -> str:
    """Returns the canonical name of a diffusers scheduler, by class and settings, or else the name of its
    class."""
    found = scheduler_of(type(scheduler).__name__, scheduler.config)
    return found.name if found else type(scheduler).__name__


def _model_name(pipe: Any, denoiser: torch.nn.Module) -> str:
    """Returns the place that the model was loaded from, or else its class and a hash of its weights, which no
    other model has."""
    origin = pipe.config.get("_name_or_path")
    return str(origin) if origin else f"{type(pipe).__name__}-{weights_digest(denoiser)}"
