"""The results of measuring and searching: losses, trials, answers. Plain data with a JSON round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from hasten.errors import InputError
from hasten.limits import Limits
from hasten.plan import Parameters, Plan
from hasten.task import Task

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
    confidence: float = 0.95
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
    confidence: float = 0.95
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
        says: the comparison in words, where the plan loses more by any metric.
    """

    steps: int
    trial: Trial
    plan_loses: tuple[str, ...] = ()
    dominates: bool = False
    says: str = ""


class Bound(Record):
    """The highest feasible speedup of a setting and a set of methods within limits. ``plan`` reaches it, with a
    held-out trial in the store; ``""`` means that none is feasible.

    ``complete``: the whole grid was searched, so that higher speedups are out of reach. ``reason`` is the reason
    of the search's answer, and ``equal_time`` is the comparison that belongs to it.
    """

    status: Answered
    plan: str = ""
    complete: bool = True
    reason: str = ""
    equal_time: EqualTime | None = None


class Answer(Record):
    """The answer to a task, in the JSON form that other tools rely on.

    Attributes:
        status: *met*, *likely*, *infeasible*, *undecided* or *failed*.
        task: the task that was answered.
        confidence: the probability that an interval holds the true value.
        plan: the text of the plan that answers the task; empty where no plan does.
        parameters: the plan's parameters by method.
        speedup: the speedup, measured on held-out prompts like all figures of the answer.
        speedup_interval: the interval of the speedup.
        quality_loss: the loss by the limited metric.
        quality_loss_interval: the interval of the loss.
        baseline_latency_s: the median seconds of a call of the baseline.
        latency_s: the median seconds of a call with the plan.
        trials: the number of trials in the search.
        complete: whether the search came to its end, and no budget ended it.
        script: the path of the script.
        report: the path of the report.
        reason: why the answer is not met.
        best: for an infeasible or undecided answer, the best answer that was found within the limits.
        confirmed: the trial on held-out prompts that decided.
        equal_time: the comparison with fewer steps.
        instead_of: the trial of the plan of methods that was found, where plain fewer steps are the answer because
            they dominate it and the request allows them. ``equal_time`` is then the comparison with that plan.
        verified: whether the script's claim held when a fresh process measured it again; None where none did.
        outcome: the outcome of that measurement: *confirmed*, *not refuted* or *refuted*.
        fresh: the trial of that process, on prompts and seeds that neither the search nor the verdict used.
        warnings: what a reader should also know.
    """

    status: Status
    task: Task
    confidence: float = 0.95
    plan: str = ""
    parameters: dict[str, Parameters] = {}
    speedup: float | None = None
    speedup_interval: Interval | None = None
    quality_loss: float | None = None
    quality_loss_interval: Interval | None = None
    baseline_latency_s: float | None = None
    latency_s: float | None = None
    trials: int = 0
    complete: bool = True
    script: str | None = None
    report: str | None = None
    reason: str = ""
    best: Answer | None = None
    confirmed: Trial | None = None
    equal_time: EqualTime | None = None
    instead_of: Trial | None = None
    verified: bool | None = None
    outcome: Confirmation | None = None
    fresh: Trial | None = None
    warnings: tuple[str, ...] = ()

    @property
    def dominated(self) -> bool:
        """Whether plain fewer steps do better than the plan, which is kept because it is what was asked for."""
        return self.equal_time is not None and self.equal_time.dominates and self.instead_of is None

    @property
    def exit_code(self) -> int:
        """The exit code: 0 met or likely, 3 infeasible, 4 undecided, 1 failed or refuted in a fresh process."""
        if self.verified is False:
            return 1
        return {"met": 0, "likely": 0, "infeasible": 3, "undecided": 4, "failed": 1}[self.status]

    def __repr__(self) -> str:
        """Returns one line; ``to_json`` has everything."""
        shown = self if self.plan or not self.best else self.best
        speed = f" {shown.speedup:.2f}x" if shown.speedup else ""
        if speed and shown.speedup_interval:
            speed += f" ({shown.speedup_interval[0]:.2f} to {shown.speedup_interval[1]:.2f})"
        loss = f", loss {shown.quality_loss:.4f}" if shown.quality_loss is not None else ""
        plan = f" {'' if shown is self else 'best '}{shown.plan}" if shown.plan else ""
        task = f"{self.task.model}, {self.task.scheduler}, {self.task.steps} steps"
        return f"<Answer {self.status}:{plan}{speed}{loss}; {task}; {self.trials} trials>"

    __str__ = __repr__

    def to_json(self) -> dict[str, Any]:
        """Returns the answer as plain data for JSON."""
        data = self.model_dump(mode="json")
        data["task"] = self.task.to_json()
        if self.best is not None:
            data["best"] = self.best.to_json()
        return data
