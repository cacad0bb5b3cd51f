"""The suite that a metric proves itself with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import pytest
import torch

from hasten.errors import InputError
from hasten.metrics import METRICS, load_scorer
from hasten.metrics.base import Metric

SCENES = (
    "a dog on a red background",
    "two cats on a blue and gray striped background",
    "a cat left of a dog on a red background",
    "a cat, a dog and an owl in a row on a pink and red dotted background",
)
"""Prompts that the embedded scorer was trained on the like of."""
SCORER = "emoji-clip"


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """(count, 3, height, width): smooth colours with sharp edges in them, at 8 bits."""
    torch.manual_seed(height + width)
    rough = torch.nn.functional.interpolate(torch.rand(count, 3, 6, 6), (height, width), mode="bilinear")
    rough[..., height // 3 :, width // 2 :] = 1 - rough[..., height // 3 :, width // 2 :]
    return (rough * 255).round() / 255


def declares_what_it_measures(metric: Metric, scorer: Any) -> None:
    """It has a title and a scale, and names the version of what computes it."""
    assert metric.title and metric.scale
    assert any(c.isdigit() for c in metric.version(scorer)), "version names no version"


def scores_image_by_image(metric: Metric, scorer: Any, prompts: tuple[str, ...] = SCENES) -> None:
    """An image's score does not depend on the others, and images differ in their scores."""
    images = pictures(len(prompts), 64, 64)
    references = images.lerp(images.flip(-1), 0.3)
    together = metric.score(images, prompts, references, scorer)
    alone = [
        metric.score(images[i : i + 1], prompts[i : i + 1], references[i : i + 1], scorer)[0]
        for i in range(len(prompts))
    ]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(set(together)) > 1, "every image has the same score"


def identical_images_are_perfect(metric: Metric, scorer: Any, prompts: tuple[str, ...] = SCENES) -> None:
    """Of a metric with references: the baseline's own images score perfectly, and references are asked for."""
    images = pictures(2, 64, 64)
    assert metric.score(images, prompts[:2], images, scorer) == (metric.perfect, metric.perfect)
    with pytest.raises(InputError, match="reference"):
        metric.score(images, prompts[:2], scorer=scorer)


def a_worse_image_is_worse(metric: Metric, scorer: Any, prompts: tuple[str, ...] = SCENES) -> None:
    """Of a metric with references: noise over an image moves its score away from the perfect one."""
    images = pictures(len(prompts), 64, 64)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    slightly, badly = (images.lerp(noise, share) for share in (0.1, 0.7))
    better, worse = (sum(metric.score(i, prompts, images, scorer)) for i in (slightly, badly))
    assert (better > worse) == metric.higher_is_better


@lru_cache
def embedded_scorer() -> Any:
    return load_scorer(SCORER)


class MetricContract:
    """All that a metric must keep: a subclass names it, and pytest runs the tests below on it.

    Example::

        class TestSharpness(MetricContract):
            metric = "sharpness"

    Attributes:
        metric: its name.
        prompts: four prompts that it can score.
    """

    metric: ClassVar[str]
    prompts: ClassVar[tuple[str, ...]] = SCENES

    @pytest.fixture
    def found(self) -> Metric:
        """The metric, as hasten knows it by its name."""
        return METRICS.get(self.metric)

    @pytest.fixture
    def scorer(self, found: Metric) -> Any:
        """The embedded CLIP, for a metric that needs one."""
        return embedded_scorer() if found.needs_scorer else None

    def test_it_declares_what_it_measures(self, found: Metric, scorer: Any) -> None:
        declares_what_it_measures(found, scorer)

    def test_it_scores_image_by_image(self, found: Metric, scorer: Any) -> None:
        scores_image_by_image(found, scorer, self.prompts)

    def test_identical_images_are_perfect(self, found: Metric, scorer: Any) -> None:
        if found.needs_references:
            identical_images_are_perfect(found, scorer, self.prompts)

    def test_a_worse_image_is_worse(self, found: Metric, scorer: Any) -> None:
        if found.needs_references:
            a_worse_image_is_worse(found, scorer, self.prompts)

    def test_a_scorer_that_it_needs_is_asked_for(self, found: Metric) -> None:
        if found.needs_scorer:
            with pytest.raises(InputError, match="scorer"):
                found.score(pictures(1, 64, 64), self.prompts[:1], pictures(1, 64, 64))
