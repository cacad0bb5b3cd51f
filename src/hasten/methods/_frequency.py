"""Spectra of the difference that guidance makes, split into low and high frequencies (FasterCache,
arXiv:2410.19355)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

SMALL = 5
"""A frequency is low where its distance from zero is at most the shorter side of the image divided by this."""


def spectrum_between(output: torch.Tensor) -> torch.Tensor:
    """Returns the spectrum of the unconditional minus the conditional half: (2n, channels, height, width) → (n,
    …), complex."""
    unconditional, conditional = output.chunk(2)
    return torch.fft.fft2(unconditional.float()) - torch.fft.fft2(conditional.float())


def scaled(spectrum: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Returns the spectrum (…, height, width) with its low and its high frequencies multiplied by the given
    factors."""
    return spectrum * torch.where(_is_low(spectrum.shape, spectrum.device), low, high)


def shifted(output: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """Returns the output (n, channels, height, width) plus the inverse transform of ``spectrum``, in the output's
    dtype."""
    found = torch.fft.ifft2(torch.fft.fft2(output.float()) + spectrum).real
    return found.to(output.dtype)


def _is_low(shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """Returns a mask (height, width) of the low frequencies, in the order of ``fft2``."""
    rows, columns = shape[-2:]
    down, across = (torch.fft.fftfreq(side, 1 / side, device=device).round() for side in (rows, columns))
    return down[:, None] ** 2 + across**2 <= (min(rows, columns) // SMALL) ** 2
