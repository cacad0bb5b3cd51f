"""Similarity of an image and its reference in CLIP's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.metrics._scorer import cosines
from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch


class ClipImage(Metric):
    """Cosine of the CLIP vectors of an image and its reference (CLIP-I), by the scorer of ``clip_score``."""

    name = "clip_image"
    title = "CLIP image similarity"
    scale = "-1 to 1: cosine similarity to the reference's CLIP vector, 1 for identical images"
    needs_references = True
    library = "transformers"
    needs_scorer = True

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: torch.Tensor, scorer: Any
    ) -> Sequence[float]:
        return cosines(scorer.image_features(images), scorer.image_features(references))


METRIC = ClipImage()
