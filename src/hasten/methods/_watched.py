"""Refuses calls of the denoiser in which no work may be left out, because the caller looks at what happens
inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from hasten.denoisers import attentions
from hasten.errors import CallError
from hasten.methods.base import Method

PIPELINES = "diffusers.pipelines."
"""Modules of attention processors that only their own pipeline sets and reads."""


def cutting(methods: Iterable[Method]) -> list[str]:
    """Returns the titles of the methods that leave out work inside the denoiser."""
    return [method.title for method in methods if method.cuts_work and not method.shortens]


def refuse_gradient(denoiser: Any, sample: torch.Tensor, methods: Iterable[Method]) -> None:
    """Raises CallError where the gradient of the sample is wanted, as in Attend-and-Excite."""
    if torch.is_grad_enabled() and sample.requires_grad and (titles := cutting(methods)):
        raise CallError(
            f"The {type(denoiser).__name__} is called for a gradient, and {', '.join(titles)} would leave out "
            "what that goes through: remove the plan, or call the denoiser under torch.no_grad()."
        )


def refuse_watched(denoiser: Any, methods: Iterable[Method]) -> None:
    """Raises CallError where the pipeline reads what each attention computes, as in self-attention guidance."""
    if not (titles := cutting(methods)):
        return
    processors = (type(getattr(attention, "processor", None)) for attention in attentions(denoiser))
    own = next((kind.__name__ for kind in processors if kind.__module__.startswith(PIPELINES)), None)
    if own is not None:
        raise CallError(
            f"The pipeline reads what the attentions of the {type(denoiser).__name__} do, by its {own}, and "
            f"{', '.join(titles)} would leave some of that out: remove the plan."
        )
