"""Distance of an image's pixels from its reference's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch

CEILING_DB = 60.0
"""The score of identical images, whose PSNR is infinite: just above the 58.9 dB of rounding to 8 bits."""


class Psnr(Metric):
    """Peak signal-to-noise ratio against the baseline's image."""

    name = "psnr"
    title = "PSNR"
    scale = f"dB, 0 to {CEILING_DB:g}: {CEILING_DB:g} for images identical to the references at 8 bits"
    needs_references = True
    perfect = CEILING_DB

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: torch.Tensor, scorer: Any
    ) -> Sequence[float]:
        from torchmetrics.functional.image import peak_signal_noise_ratio

        scores = [
            peak_signal_noise_ratio(image[None], reference[None], data_range=1.0)
            for image, reference in zip(images, references, strict=True)
        ]
        return [min(float(score), CEILING_DB) for score in scores]


METRIC = Psnr()
