"""The declaration and the interface of a metric. Each metric has its own file."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError, MeasurementError

if TYPE_CHECKING:
    import torch


class Metric(ABC):
    """A score for images, one number an image, so that plans can be compared prompt by prompt.

    Attributes:
        name: the name in requests.
        title: the name for people.
        scale: the range of the scores.
        library: the package that computes the scores.
        higher_is_better: whether a higher score is a better image.
        needs_references: whether images are compared with the baseline's images.
        needs_scorer: whether the metric needs the CLIP.
        perfect: the score of images that are identical to the references. A plan's loss is measured from it.
    """

    name: str
    title: str
    scale: str
    library: str = "torchmetrics"
    higher_is_better: bool = True
    needs_references: bool = False
    needs_scorer: bool = False
    perfect: float = 1.0

    def spellings(self) -> tuple[str, ...]:
        """Returns every word that means the metric in a request."""
        return (self.name, self.title)

    def version(self, scorer: Any = None) -> str:
        """Returns the model, if any, and the library with its version that compute the score, for reports."""
        return ", ".join(filter(None, [self.model(scorer), f"{self.library} {version(self.library)}"]))

    def model(self, scorer: Any = None) -> str:
        """Returns the folder or hub id of the scoring model, or "" where there is none."""
        if not self.needs_scorer:
            return ""
        return str(scorer.source) if scorer is not None else "no scorer loaded"

    def find(self) -> None:  # noqa: B027 - most have no model of their own
        """Raises InputError where the metric's own model is certainly missing. Nothing is loaded or downloaded."""

    def check(self, height: int, width: int, device: str = "cpu") -> None:  # noqa: B027 - most take any image
        """Raises InputError where images of that size in pixels cannot be scored, or its own model is missing."""

    def score(
        self,
        images: torch.Tensor,
        prompts: Sequence[str],
        references: torch.Tensor | None = None,
        scorer: Any = None,
    ) -> tuple[float, ...]:
        """Returns one score for each image.

        Args:
            images: (n, 3, h, w), values 0 to 1.
            prompts: n texts.
            references: the baseline's images, same shape, for metrics that need them.
            scorer: the loaded scoring model where the metric needs one (``hasten.metrics.load_scorer``).

        Raises:
            InputError: references or scorer are missing.
            MeasurementError: a score is not a number.
        """
        if self.needs_references and references is None:
            raise InputError(f"{self.name} needs the reference images.")
        if self.needs_scorer and scorer is None:
            raise InputError(f"{self.name} needs a scorer: give a CLIP model's folder or hub id.")
        found = tuple(self.scores(images, prompts, references, scorer))
        for value, prompt in zip(found, prompts, strict=True):
            if not math.isfinite(value):
                raise MeasurementError(f"{self.title} gave {value} for the image of {prompt!r}")
        return found

    @abstractmethod
    def scores(
        self, images: torch.Tensor, prompts: Sequence[str], references: Any, scorer: Any
    ) -> Sequence[float]:
        """Computes the result of ``score``, which has checked that everything the metric needs is there."""
