"""Similarity of an image and its reference in DINOv2's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.metrics._dino import dino_source, find_dino, load_dino
from hasten.metrics._scorer import cosines
from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch


class DinoV2(Metric):
    """Cosine of the DINOv2 vectors of an image and its reference (class token; Oquab et al., 2023).

    The model sees no text. It tells objects and layout apart, while CLIP tells what a caption would say. It is
    ``facebook/dinov2-base`` unless the environment variable ``HASTEN_DINOV2`` names another hub id or a folder.
    """

    name = "dinov2"
    title = "DINOv2 similarity"
    scale = "-1 to 1: cosine similarity to the reference's DINOv2 vector, 1 for identical images"
    library = "transformers"
    needs_references = True

    def model(self, scorer: Any = None) -> str:
        return dino_source()

    def find(self) -> None:
        find_dino(dino_source())

    def check(self, height: int, width: int, device: str = "cpu") -> None:
        load_dino(dino_source(), device)

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: torch.Tensor, scorer: Any
    ) -> Sequence[float]:
        dino = load_dino(dino_source(), str(images.device))
        return cosines(dino.features(images), dino.features(references))


METRIC = DinoV2()
