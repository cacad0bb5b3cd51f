"""The quality of a plan's images, paired with the baseline's images of the same prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hasten.errors import InputError, MeasurementError
from hasten.measure._cache import ImageCache
from hasten.measure.failures import PlanError, plan_failures
from hasten.measure.pipeline import Pipeline
from hasten.measure.stats import loss_of
from hasten.metrics import METRICS, ClipScorer, Metric
from hasten.plan import Plan
from hasten.records import CONFIDENCE, Loss, Split

if TYPE_CHECKING:
    import torch

Losses = dict[str, Loss]
StopEarly = Callable[[Losses], bool]
"""Returns whether the losses so far make further prompts needless."""
Report = Callable[[str], None]
"""Takes a few words about what is being done."""
Scores = dict[str, list[float]]
"""Scores by metric, one an image."""

LEAST_SAMPLES = 2


class Quality:
    """Draws, scores and compares images. The baseline's images (8 bits a channel) and scores are made once and
    kept."""

    def __init__(
        self,
        pipeline: Pipeline,
        scorer: Callable[[], ClipScorer],
        cache: ImageCache | None = None,
        confidence: float = CONFIDENCE,
    ) -> None:
        self.pipeline, self.scorer, self.cache, self.confidence = pipeline, scorer, cache, confidence
        self._images: dict[tuple[Split, int, int], torch.Tensor] = {}
        self._scores: dict[tuple[str, Split, int], float] = {}
        self._versions: dict[str, str] = {}

    def losses(
        self,
        plan: Plan,
        *,
        split: Split,
        samples: int,
        metrics: Sequence[str],
        offset: int = 0,
        steps: int | None = None,
        stop_early: StopEarly | None = None,
        report: Report | None = None,
    ) -> Losses:
        """Returns the loss of each metric over ``samples`` images of the split from ``offset`` on, batch after
        batch.

        Raises:
            PlanError: the plan drew no image that can be scored.
            MeasurementError: the baseline drew none.
            InputError: a metric is unknown, or there are fewer than 2 samples.
        """
        chosen = chosen_metrics(metrics, samples, offset)
        done: list[int] = []
        scores: Scores = {metric.name: [] for metric in chosen}
        losses: Losses = {}
        for batch in self.pipeline.batches(range(offset, offset + samples)):
            self.references(split, batch, report)  # comes first, as a failing baseline is not the plan's fault
            if report:
                report(f"baseline drawn {len(done) + len(batch)}/{samples}")
            self._score(self.images(plan, split, batch, steps), split, batch, chosen, scores)
            done += batch
            if stop_early or len(done) == samples:
                losses = {m.name: self._loss(m, split, done, scores[m.name]) for m in chosen}
            if report:
                report(f"scored {len(done)}/{samples}")
            if stop_early and len(done) < samples and stop_early(losses):
                break
        return losses

    def images(self, plan: Plan, split: Split, indices: Sequence[int], steps: int | None = None) -> torch.Tensor:
        """Returns the plan's images, (n, 3, h, w), uint8, on the CPU. Raises PlanError."""
        with plan_failures():
            if not plan:
                return self._baseline(split, indices, steps or self.pipeline.setting.steps)
            return self.pipeline.draw(plan, split, indices, steps)

    def references(self, split: Split, indices: Sequence[int], report: Report | None = None) -> torch.Tensor:
        """Returns the baseline's images, (n, 3, h, w), uint8, on the CPU. Raises MeasurementError."""
        if report and not all(self._is_drawn(split, i, self.pipeline.setting.steps) for i in indices):
            report("drawing the baseline")
        try:
            with self.pipeline.time_limit.baseline():
                return self.images(Plan(), split, indices)
        except PlanError as failure:
            raise MeasurementError(f"The baseline itself fails: {failure}") from None

    def _baseline(self, split: Split, indices: Sequence[int], steps: int) -> torch.Tensor:
        """Returns the baseline's images, and draws those that were not drawn before."""
        import torch

        missing = [i for i in indices if not self._is_drawn(split, i, steps)]
        for batch in self.pipeline.batches(missing):
            for i, image in zip(batch, self.pipeline.draw(Plan(), split, batch, steps), strict=True):
                self._images[split, i, steps] = image
                if self.cache:
                    self.cache.save(split, i, steps, image)
        return torch.stack([self._images[split, i, steps] for i in indices])

    def _is_drawn(self, split: Split, index: int, steps: int) -> bool:
        key = (split, index, steps)
        if key not in self._images and self.cache and (image := self.cache.load(*key)) is not None:
            self._images[key] = image
        return key in self._images

    def _score(
        self,
        images: torch.Tensor,
        split: Split,
        batch: Sequence[int],
        metrics: Sequence[Metric],
        scores: Scores,
    ) -> None:
        """Adds the scores of one batch, and the baseline's where these are missing."""
        references = self.references(split, batch)
        for metric in metrics:
            new = [i for i in batch if (metric.name, split, i) not in self._scores]
            if new and not metric.needs_references:
                own = self._of(metric, split, batch, references, references)
                self._scores |= {(metric.name, split, i): s for i, s in zip(batch, own, strict=True)}
            with plan_failures():  # the metric could score the baseline, so that a failure is due to these images
                scores[metric.name] += self._of(metric, split, batch, images, references)

    def _of(
        self,
        metric: Metric,
        split: Split,
        batch: Sequence[int],
        images: torch.Tensor,
        references: torch.Tensor,
    ) -> tuple[float, ...]:
        device = self.pipeline.setting.device
        return metric.score(
            images.to(device).float() / 255,
            [self.pipeline.prompt(split, i) for i in batch],
            references=references.to(device).float() / 255 if metric.needs_references else None,
            scorer=self.scorer() if metric.needs_scorer else None,
        )

    def _loss(self, metric: Metric, split: Split, indices: Sequence[int], scores: Sequence[float]) -> Loss:
        baseline = tuple(
            metric.perfect if metric.needs_references else self._scores[metric.name, split, i] for i in indices
        )
        return loss_of(
            metric,
            baseline,
            scores,
            version=self._version(metric),
            confidence=self.confidence,
            seed=self.pipeline.seed,
        )

    def _version(self, metric: Metric) -> str:
        """Returns the metric's version, looked up once because a package's version is read from its files."""
        if metric.name not in self._versions:
            self._versions[metric.name] = metric.version(self.scorer() if metric.needs_scorer else None)
        return self._versions[metric.name]


def chosen_metrics(names: Sequence[str], samples: int, offset: int = 0) -> list[Metric]:
    """Returns the metrics of those names. Raises InputError for an unknown one, under 2 samples, or an offset
    below 0."""
    if offset < 0:
        raise InputError(f"The offset of the first image is {offset}: allowed is 0 or more.")
    if samples < LEAST_SAMPLES:
        raise InputError(f"The number of samples is {samples}: allowed is 2 or more, an interval needs them.")
    return [METRICS.get(name) for name in names]
