"""Pipelines whose class hasten has no family for, but whose denoiser it knows."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from hasten.models._known import FAMILIES
from hasten.models.base import Family

TAKEN = ("prompt", "num_inference_steps", "guidance_scale", "height", "width", "generator", "output_type")
"""What the call of a pipeline must take to be measured."""
PICTURES = ("image", "control_image", "mask_image")
"""What makes a pipeline another than one from text to images."""


def likened(pipe: Any) -> Family | None:
    """A family for a text-to-image pipeline with the denoiser of a known one; None for any other.

    It takes the schedulers that the known family takes. What its ``encode_prompt`` gives is not known, so that its
    calls are given the prompts themselves.
    """
    takes = inspect.signature(type(pipe).__call__).parameters
    if not set(TAKEN) <= takes.keys() or set(PICTURES) & takes.keys():
        return None
    name = type(pipe).__name__
    for family in FAMILIES.all():
        if _denoiser_class(pipe, family.denoiser) == family.denoiser_class:
            return replace(family, name=name, title=name, pipeline=name, models=(), text_states=(), call={})
    return None


def _denoiser_class(pipe: Any, denoiser: str) -> str:
    found = getattr(pipe, denoiser, None)
    return type(getattr(found, "_orig_mod", found)).__name__  # without the shell of torch.compile
