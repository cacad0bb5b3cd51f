"""What is measured: times, losses, trials, bounds. Plain data with a JSON round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from hasten.errors import InputError
from hasten.limits import Limits
from hasten.plan import Plan

Interval = tuple[float, float]
Split = Literal["search", "held-out", "fresh"]
Answered = Literal["met", "likely", "infeasible"]
"""The statuses that a measurement can give a task."""
Status = Literal[Answered, "undecided", "failed"]
"""The status of an answer. *undecided*: the budget ended before anything was decided. *failed*: nothing could be
measured, or a fresh process refuted the answer."""


Confirmation = Literal["confirmed", "not refuted", "refuted"]
"""The outcome of measuring a claim again: the intervals confirm all that it promises, cannot tell, or refute
it."""
CONFIDENCE = 0.95
"""The default probability that an interval holds the true value."""
FEW_PAIRS = 3
"""The least number of pairs of times for an interval. With fewer pairs, the error of their ratio is unknown."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)


def _read_plan(given: object) -> object:
    """Returns the plan of a text. Raises ValueError, which pydantic tells beside the place of the text."""
    try:
        return Plan.parse(given) if isinstance(given, str) else given
    except InputError as error:
        raise ValueError(str(error)) from None


Planned = Annotated[Plan, BeforeValidator(_read_plan), PlainSerializer(str)]
"""A plan, which is its canonical text in JSON."""
MaybePlanned = Annotated[
    Plan | None,
    BeforeValidator(lambda given: None if given == "" else _read_plan(given)),
    PlainSerializer(lambda plan: "" if plan is None else str(plan)),
]
"""A plan or None, which is the empty text in JSON."""


def told_loss(loss: float) -> str:
    """Returns a quality loss for a reader: a negative one, of a score above the baseline's, is no loss."""
    return f"no loss ({loss:.4f})".replace("-", "\u2212") if round(loss, 4) < 0 else f"{abs(loss):.4f}"


def between(interval: Interval | None, spec: str, confidence: float) -> str:
    """Returns ``95% interval 2.05 to 2.15``, or "" where there is no interval."""
    return f"{100 * confidence:g}% interval {interval[0]:{spec}} to {interval[1]:{spec}}" if interval else ""


class Latency(Record):
    """Wall-clock times of baseline and plan, taken in turn, in seconds a call of the pipeline (one batch).

    Attributes:
        speedup: the ratio of the medians.
        interval: the interval of the speedup; None for fewer than three pairs.
        confidence: the probability that the interval holds the true speedup.
        baseline_s: the median of the baseline's times.
        plan_s: the median of the plan's times.
        baseline_times_s: the baseline's times, in the order in which they were taken.
        times_s: the plan's times, in the same order.
        baseline_denoiser_times_s: the denoiser's share of each of the baseline's times.
        denoiser_times_s: the denoiser's share of each of the plan's times.
        peak_memory_bytes: the most memory that a call took on a GPU.
        warnings: possible disturbances of the times.
    """

    interval: Interval | None
    confidence: float = CONFIDENCE
    speedup: float
    baseline_s: float
    plan_s: float
    baseline_times_s: tuple[float, ...]
    times_s: tuple[float, ...]
    baseline_denoiser_times_s: tuple[float, ...] = ()
    denoiser_times_s: tuple[float, ...] = ()
    peak_memory_bytes: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def highest(self) -> float:
        """The highest speedup that the interval allows. Without an interval it is the measured speedup."""
        return self.interval[1] if self.interval else self.speedup

    def between(self, spec: str) -> str:
        """Returns the interval in words, or "" where there is none."""
        return between(self.interval, spec, self.confidence)

    @model_validator(mode="before")
    @classmethod
    def _of_enough_pairs(cls, given: Any) -> Any:
        """Removes the interval from older records of fewer than three pairs, where it was far too narrow."""
        if isinstance(given, Mapping) and len(given.get("times_s", ())) < FEW_PAIRS:
            return {**given, "interval": None}
        return given


class Loss(Record):
    """The loss of a plan by one metric, on images of baseline and plan that are paired by prompt.

    Attributes:
        metric: the name of the metric.
        loss: (baseline − score) / baseline of the means. It is negative where the plan scores higher. For a metric
            where lower is better the sign is turned.
        interval: the interval of the loss, over prompts.
        confidence: the probability that the interval holds the true loss.
        baseline: the mean score of the baseline. For a metric against the reference images it is the score of
            identical images.
        score: the mean score of the plan.
        baseline_scores: the baseline's scores, one a prompt.
        scores: the plan's scores, one a prompt.
        version: the model and library behind the scores; empty in older records.
    """

    interval: Interval
    confidence: float = CONFIDENCE
    metric: str
    baseline: float
    score: float
    loss: float
    baseline_scores: tuple[float, ...]
    scores: tuple[float, ...]
    version: str = ""

    def between(self, spec: str) -> str:
        """Returns the interval in words."""
        return between(self.interval, spec, self.confidence)

    @property
    def samples(self) -> int:
        """The number of prompts that were scored."""
        return len(self.scores)


class Trial(Record):
    """One plan, measured against the baseline of its setting.

    Attributes:
        plan: the plan; its text in JSON.
        steps: denoising steps. They differ from the setting's only for the equal-time baseline.
        status: ``ok``; ``failed``, with the ``reason``; or ``skipped``, where the plan is slower than a plan that
            is known to be feasible, so that only its latency was measured, perhaps in few pairs.
        reason: why the trial failed or was skipped.
        split: the prompts that were used.
        offset: the first image of the split that was scored.
        latency: the times; None where they were not taken.
        losses: the loss by each metric.
        environment: hardware and versions.
        seconds: the duration of the trial.
    """

    plan: Planned
    steps: int
    status: Literal["ok", "failed", "skipped"] = "ok"
    reason: str = ""
    split: Split = "search"
    offset: int = 0
    latency: Latency | None = None
    losses: dict[str, Loss] = {}
    environment: dict[str, str] = {}
    seconds: float = 0.0

    def __repr__(self) -> str:
        """Returns one line, without the raw times and scores."""
        speed = f" {self.speedup:.2f}x" if self.latency else ""
        losses = "".join(f", {metric} loss {loss.loss:.4f}" for metric, loss in self.losses.items())
        why = f": {self.reason}" if self.reason else ""
        return f"<Trial {self.status}{why}: {self.plan}{speed}{losses}; {self.split}>"

    __str__ = __repr__

    @property
    def speedup(self) -> float:
        """The measured speedup; 0 where the latency was never measured."""
        return self.latency.speedup if self.latency else 0.0

    def feasible(self, limits: Limits) -> bool:
        """Returns whether every limited metric was measured and its loss is inside the limit."""
        return self.status == "ok" and not limits.broken(self.losses)


class EqualTime(Record):
    """The equal-time baseline: the plain pipeline with fewer steps, about as fast as the plan.

    Attributes:
        steps: its number of steps.
        trial: its measurement.
        plan_loses: the metrics by which the plan loses more.
        dominates: whether fewer steps do better by every metric, and by more than chance.
        says: the comparison in words: what the plan loses more by, and what it surely loses less by.
    """

    steps: int
    trial: Trial
    plan_loses: tuple[str, ...] = ()
    dominates: bool = False
    says: str = ""


class Bound(Record):
    """The highest feasible speedup of a setting and a set of methods within limits. ``plan`` reaches it, with a
    held-out trial in the store; None means that none is feasible.

    ``complete``: the whole grid was searched, so that higher speedups are out of reach. ``reason`` is the reason
    of the search's answer, and ``equal_time`` is the comparison that belongs to it.
    """

    status: Answered
    plan: MaybePlanned = None
    complete: bool = True
    reason: str = ""
    equal_time: EqualTime | None = None
