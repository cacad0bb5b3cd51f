"""How well an image shows what its prompt says, by a CLIP model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.metrics.base import Metric

if TYPE_CHECKING:
    import torch


class ClipScore(Metric):
    """100 × cosine of image and prompt, not below 0 (Hessel et al., CLIPScore, EMNLP 2021, unscaled)."""

    name = "clip_score"
    title = "CLIP score"
    scale = "0 to 100: 100 × cosine similarity of image and prompt"
    needs_scorer = True

    def version(self, scorer: Any = None) -> str:
        source = scorer.source if scorer is not None else "no scorer loaded"
        return f"{source}, transformers {version('transformers')}"

    def score(
        self,
        images: torch.Tensor,
        prompts: Sequence[str],
        references: torch.Tensor | None = None,
        scorer: Any = None,
    ) -> tuple[float, ...]:
        if scorer is None:
            raise InputError("clip_score needs a scorer: give a CLIP model's folder or hub id.")
        return tuple((100 * scorer.similarity(images, prompts)).clamp(min=0).tolist())


METRIC = ClipScore()
