"""How well an image shows what its prompt says, judged by a CLIP model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch


class ClipScore(Metric):
    """100 × cosine of image and prompt, not below 0 (Hessel et al., CLIPScore, EMNLP 2021, unscaled)."""

    name = "clip_score"
    title = "CLIP score"
    scale = "0 to 100: 100 × cosine similarity of image and prompt"
    library = "transformers"
    needs_scorer = True

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: Any, scorer: Any
    ) -> Sequence[float]:
        found: list[float] = (100 * scorer.similarity(images, prompts)).clamp(min=0).tolist()
        return found


METRIC = ClipScore()
