"""Similarity of an image and its reference in structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch


class Ssim(Metric):
    """Structural similarity to the baseline's image (Wang et al., 2004), 11×11 Gaussian window."""

    name = "ssim"
    title = "SSIM"
    scale = "-1 to 1: 1 for images identical to the references"
    needs_references = True

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: torch.Tensor, scorer: Any
    ) -> Sequence[float]:
        import torch
        from torchmetrics.functional.image import structural_similarity_index_measure

        pair = images.double(), references.double()  # in single precision identical images are not quite 1
        scores = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
        found: list[float] = torch.as_tensor(scores).reshape(-1).tolist()
        return found


METRIC = Ssim()
