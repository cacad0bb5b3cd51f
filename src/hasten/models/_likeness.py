"""Pipelines whose class has no family in hasten, but whose denoiser is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hasten.models._known import FAMILIES
from hasten.models._usual import call_parameters
from hasten.models.base import Family

TAKEN = ("prompt", "num_inference_steps", "guidance_scale", "height", "width", "generator", "output_type")
"""Arguments that the call of a pipeline must have, so that it can be measured."""
PICTURES = ("image", "control_image", "mask_image")
"""Arguments that show that a pipeline takes more than text."""


def likened(pipe: Any) -> Family | None:
    """Returns a family for a text-to-image pipeline that has the denoiser of a known family, or None.

    The new family takes the same schedulers as the known one. The result of the pipeline's ``encode_prompt`` is
    not known, so its calls are given the prompts themselves.
    """
    takes = call_parameters(type(pipe))
    if not set(TAKEN) <= takes.keys() or set(PICTURES) & takes.keys():
        return None
    name = type(pipe).__name__
    for family in FAMILIES.all():
        if _denoiser_class(pipe, family.denoiser) == family.denoiser_class:
            return replace(family, name=name, title=name, pipeline=name, models=(), text_states=(), call={})
    return None


def _denoiser_class(pipe: Any, denoiser: str) -> str:
    found = getattr(pipe, denoiser, None)
    return type(getattr(found, "_orig_mod", found)).__name__  # the class inside the wrapper of torch.compile
