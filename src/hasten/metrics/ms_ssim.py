"""Similarity of an image and its reference in structure, from fine to coarse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, the finest first, as published."""
SMALLEST = {5: 176, 4: 100, 3: 44, 2: 22}
"""The shortest edge in pixels at which each number of scales is used. The window of 11 pixels must fit into the
coarsest scale, which is halved scales − 1 times (torchmetrics asks for 100 pixels where 88 would do for 4)."""


class MsSsim(Metric):
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik, 2003), 11×11 Gaussian window.

    Five scales are used, as published. Smaller images use the first four, three or two, whose weights are scaled
    up to the published sum, so scores of different sizes are not comparable. A scale's similarity below 0 counts
    as 0.
    """

    name = "ms_ssim"
    title = "MS-SSIM"
    scale = f"0 to 1: 1 for images identical to the references; 5 scales, fewer under {SMALLEST[5]} pixels"
    needs_references = True

    def check(self, height: int, width: int, device: str = "cpu") -> None:
        weights(height, width)

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: torch.Tensor, scorer: Any
    ) -> Sequence[float]:
        import torch
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

        betas = weights(images.shape[-2], images.shape[-1])
        pair = images.double(), references.double()  # in single precision identical images are not quite 1
        scores = ms_ssim(*pair, data_range=1.0, reduction="none", betas=betas)
        found: list[float] = torch.as_tensor(scores).reshape(-1).tolist()
        return found


def weights(height: int, width: int) -> tuple[float, ...]:
    """Returns the scales' weights for images of that size in pixels. Raises InputError where not two fit."""
    short = min(height, width)
    scales = next((scales for scales, edge in SMALLEST.items() if short >= edge), None)
    if scales is None:
        raise InputError(
            f"The images are {width}x{height} pixels: ms_ssim needs {min(SMALLEST.values())} or more each way. "
            "Draw larger images, or take ssim."
        )
    kept = WEIGHTS[:scales]
    return tuple(weight * sum(WEIGHTS) / sum(kept) for weight in kept)


METRIC = MsSsim()
