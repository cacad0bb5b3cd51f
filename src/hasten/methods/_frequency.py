"""What guidance changes, split into low and high frequencies (FasterCache, arXiv:2410.19355)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

SMALL = 5
"""A frequency is low within a circle whose radius is the shorter side's frequencies by that."""


def spectrum_between(output: torch.Tensor) -> torch.Tensor:
    """(2n, channels, height, width) → (n, …), complex: unconditional less conditional, by frequency."""
    unconditional, conditional = output.chunk(2)
    return torch.fft.fft2(unconditional.float()) - torch.fft.fft2(conditional.float())


def scaled(spectrum: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """The spectrum (…, height, width) with its low and its high frequencies times that."""
    return spectrum * torch.where(_is_low(spectrum.shape, spectrum.device), low, high)


def shifted(output: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """The output (n, channels, height, width) with the spectrum added to its own."""
    found = torch.fft.ifft2(torch.fft.fft2(output.float()) + spectrum).real
    return found.to(output.dtype)


def _is_low(shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """(height, width), in the order that ``fft2`` has."""
    rows, columns = shape[-2:]
    down, across = (torch.fft.fftfreq(side, 1 / side, device=device).round() for side in (rows, columns))
    return down[:, None] ** 2 + across**2 <= (min(rows, columns) // SMALL) ** 2
