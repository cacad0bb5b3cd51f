"""Classifier-free guidance in a batch: rows 0 … n−1 are unconditional, rows n … 2n−1 follow the prompt."""

from __future__ import annotations

from typing import Any

import torch


def is_guided(sample: torch.Tensor) -> bool:
    """Whether the batch is a guided one: both halves of the latents are the same, bit for bit.

    Without guidance that happens only to images with equal seeds; from their second step on only to equal
    prompts as well, and those are treated rightly either way.
    """
    if sample.shape[0] % 2:
        return False
    first, second = sample.chunk(2)
    return torch.equal(first, second)


def mean_of_halves(output: torch.Tensor) -> torch.Tensor:
    """(2n, …) → (n, …): between what both halves attended to."""
    unconditional, conditional = output.chunk(2)
    return (unconditional + conditional) / 2


def first_half(value: Any, batch: int) -> Any:
    """The unconditional half of every tensor that has ``batch`` rows, also within dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return value.chunk(2)[0] if value.ndim and value.shape[0] == batch else value
    if isinstance(value, dict):
        return {name: first_half(item, batch) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(first_half(item, batch) for item in value)
    return value


def doubled(output: Any) -> Any:
    """A denoiser's output (n, …) given twice (2n, …): guidance between equal halves changes nothing."""
    noise = torch.cat([output[0], output[0]])
    return (noise,) if isinstance(output, tuple) else type(output)(noise)
