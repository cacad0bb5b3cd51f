"""The share of a scene's attributes that an image shows: things, number, layout, colours, pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten.metrics.base import Metric
from hasten.scenes import alternatives, caption, parse

if TYPE_CHECKING:
    import torch


class Attributes(Metric):
    """Share of a scene's attributes that a CLIP reads correctly, each against captions that are wrong in it alone.

    GenEval (Ghosh et al., 2023) asks the same of large models with a detector. Only captions of scenes can be
    scored.
    """

    name = "attributes"
    title = "attributes right"
    scale = "0 to 1: share of things, number, layout, colours and pattern that are read as the caption says"
    library = "transformers"
    needs_scorer = True

    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: Any, scorer: Any
    ) -> Sequence[float]:
        attributes = [_captions(prompt) for prompt in prompts]  # read first: a prompt that is no scene stops here
        features = scorer.image_features(images)
        return [_share(image, *texts, scorer) for image, texts in zip(features, attributes, strict=True)]


def _captions(prompt: str) -> tuple[str, list[list[str]]]:
    """Returns the scene's own caption, and for each attribute the captions that are wrong in it."""
    scene = parse(prompt)
    return caption(scene), [[caption(other) for other in others] for others in alternatives(scene).values()]


def _share(image: torch.Tensor, own: str, attributes: list[list[str]], scorer: Any) -> float:
    fit: float = (scorer.text_features([own])[0] @ image).item()
    right = [bool(fit > (scorer.text_features(wrong) @ image).max().item()) for wrong in attributes]
    return sum(right) / len(right)


METRIC = Attributes()
