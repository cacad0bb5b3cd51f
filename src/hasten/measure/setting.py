"""The setting of a pipeline object: what is measured, read from what it is."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.measure.identity.modules import weights_digest
from hasten.measure.pipeline import known_family
from hasten.models import model_at
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
    """The setting of a pipeline object that the user already has.

    What is not given is the default of the pipeline; the guidance scale that of the model, where it is known.

    Raises:
        InputError: no family of hasten has that class, or a number is out of range.
    """
    denoiser = getattr(pipe, known_family(pipe).denoiser)
    rows, columns = _usual_size(pipe, denoiser)
    known = model_at(str(pipe.config.get("_name_or_path")))
    usual = inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default
    guidance = known.guidance_scale if known else usual
    return checked(
        Setting(
            model=model_name or (known.name if known else _model_name(pipe, denoiser)),
            scheduler=scheduler_name(pipe.scheduler),
            steps=steps,
            height=rows if height is None else height,
            width=columns if width is None else width,
            guidance_scale=guidance if guidance_scale is None else guidance_scale,
            batch_size=batch_size,
            dtype=str(denoiser.dtype).removeprefix("torch."),
            device=str(pipe._execution_device),
        )
    )


def _usual_size(pipe: Any, denoiser: torch.nn.Module) -> tuple[int, int]:
    """Height and width in pixels where none are asked for: the denoiser's; where it has none, the pipeline's."""
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
    """The setting, or an InputError that names the number that cannot be."""
    for name in ("steps", "height", "width", "batch_size"):
        value = getattr(setting, name)
        if value < 1:
            raise InputError(f"The setting's {name} is {value}: allowed is 1 or more.")
    if not (math.isfinite(setting.guidance_scale) and setting.guidance_scale >= 0):
        raise InputError(f"The setting's guidance_scale is {setting.guidance_scale}: allowed is 0 or more.")
    return setting


def scheduler_name(scheduler: Any) -> str:
    """The canonical name of a diffusers scheduler, by class and settings; where hasten has none, its class's."""
    found = scheduler_of(type(scheduler).__name__, scheduler.config)
    return found.name if found else type(scheduler).__name__


def _model_name(pipe: Any, denoiser: torch.nn.Module) -> str:
    """Where it was loaded from; else class and weights, so that two models never share a name."""
    origin = pipe.config.get("_name_or_path")
    return str(origin) if origin else f"{type(pipe).__name__}-{weights_digest(denoiser)}"
