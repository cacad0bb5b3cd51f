"""Classifier-free guidance in a batch: rows 0 … n−1 are unconditional, rows n … 2n−1 follow the prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

UNCONDITIONAL, CONDITIONAL = 0, 1
"""Which half of a guided batch."""


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


def half(value: Any, batch: int, which: int) -> Any:
    """That half of every tensor that has ``batch`` rows, also within dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return value.chunk(2)[which] if value.ndim and value.shape[0] == batch else value
    if isinstance(value, dict):
        return {name: half(item, batch, which) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(half(item, batch, which) for item in value)
    return value


def run_half(
    call_next: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], batch: int, which: int
) -> Any:
    """The denoiser's output for that half alone of all that it was called with."""
    return call_next(*half(args, batch, which), **half(kwargs, batch, which))


def doubled(output: Any) -> Any:
    """A denoiser's output (n, …) given twice (2n, …): guidance between equal halves changes nothing."""
    return with_noise(output, torch.cat([output[0], output[0]]))


def between_halves(output: torch.Tensor) -> torch.Tensor | None:
    """(2n, …) → (n, …): what the prompt changes, conditional less unconditional; None where the rows are odd."""
    if output.shape[0] % 2:
        return None
    unconditional, conditional = output.chunk(2)
    return conditional - unconditional


def guided_by(output: Any, difference: torch.Tensor) -> Any:
    """A denoiser's output of the conditional half (n, …), completed (2n, …) so that the halves differ by that."""
    conditional = output[0]
    return with_noise(output, torch.cat([conditional - difference, conditional]))


def with_noise(output: Any, noise: torch.Tensor) -> Any:
    """The same kind of denoiser's output (an object or a tuple) with another tensor in it."""
    return (noise,) if isinstance(output, tuple) else type(output)(noise)
