"""Helpers for batched classifier-free guidance: rows 0 to n−1 are unconditional, rows n to 2n−1 conditional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

UNCONDITIONAL, CONDITIONAL = 0, 1
"""The index of each half of a guided batch."""


def is_guided(sample: torch.Tensor) -> bool:
    """Returns whether both halves of the latents (2n, …) are bitwise equal, as those of a guided batch are.

    The halves of an unguided batch are equal at a run's first step where images have equal seeds. From the second
    step on they are equal only where the prompts are equal as well, and then the halves have equal outputs anyway.
    """
    if sample.shape[0] % 2:
        return False
    first, second = sample.chunk(2)
    return torch.equal(first, second)


def mean_of_halves(output: torch.Tensor) -> torch.Tensor:
    """Returns the mean of the two halves: (2n, …) → (n, …)."""
    unconditional, conditional = output.chunk(2)
    return (unconditional + conditional) / 2


def half(value: Any, batch: int, which: int) -> Any:
    """Returns the value with half ``which`` of every tensor that has ``batch`` rows, also inside dicts, lists and
    tuples."""
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
    """Returns the output of the denoiser for one half of all its inputs."""
    return call_next(*half(args, batch, which), **half(kwargs, batch, which))


def doubled(output: Any) -> Any:
    """Returns an output of n rows as one of 2n equal halves, between which guidance changes nothing."""
    return with_noise(output, torch.cat([output[0], output[0]]))


def between_halves(output: torch.Tensor) -> torch.Tensor | None:
    """Returns the conditional minus the unconditional half, (2n, …) → (n, …), or None where the number of rows is
    odd."""
    if output.shape[0] % 2:
        return None
    unconditional, conditional = output.chunk(2)
    return conditional - unconditional


def guided_by(output: Any, difference: torch.Tensor) -> Any:
    """Returns the output (2n, …) whose conditional half is the given one and whose halves differ by
    ``difference``."""
    conditional = output[0]
    return with_noise(output, torch.cat([conditional - difference, conditional]))


def with_noise(output: Any, noise: torch.Tensor) -> Any:
    """Returns an output of the same kind, an object or a tuple, with another tensor in it."""
    return (noise,) if isinstance(output, tuple) else type(output)(noise)
