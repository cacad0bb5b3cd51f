"""What measuring and searching leave behind: losses, trials, answers. Plain data with a JSON round trip."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hasten.limits import Limits
from hasten.plan import Parameters
from hasten.task import Task

Interval = tuple[float, float]
Split = Literal["search", "held-out", "fresh"]
Answered = Literal["met", "likely", "infeasible"]
"""What measuring can answer to a task."""
Status = Literal[Answered, "undecided", "failed"]
"""That of an answer: undecided where the budget ended before anything was decided, failed where nothing could be
measured, or a fresh process refuted it."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)


def between(interval: Interval | None, spec: str, confidence: float) -> str:
    """``95% interval 2.05 to 2.15``; nothing where there is none."""
    return f"{100 * confidence:g}% interval {interval[0]:{spec}} to {interval[1]:{spec}}" if interval else ""


class Estimate(Record):
    """A figure's bootstrap interval, which holds the true one with ``confidence``."""

    interval: Interval
    confidence: float = 0.95

    def between(self, spec: str) -> str:
        return between(self.interval, spec, self.confidence)


class Latency(Estimate):
    """Interleaved wall-clock times of baseline and plan, in seconds a call of the pipeline (one batch).

    ``speedup`` is the ratio of the medians, ``interval`` that of the speedup. The raw times are kept in the
    order they were taken. The denoiser's share of each call is kept beside.
    """

    speedup: float
    baseline_s: float
    plan_s: float
    baseline_times_s: tuple[float, ...]
    times_s: tuple[float, ...]
    baseline_denoiser_times_s: tuple[float, ...] = ()
    denoiser_times_s: tuple[float, ...] = ()
    peak_memory_bytes: int | None = None
    warnings: tuple[str, ...] = ()


class Loss(Estimate):
    """One metric on paired images of baseline and plan.

    ``loss`` is (baseline − score) / baseline of the means; negative when the plan scores higher (for a
    metric where lower is better the sign is turned). ``interval`` is that of the loss, over prompts. For a
    metric against the reference images the baseline score is that of identical images. ``version`` names the
    model and library behind the scores; empty in records from before it was kept.
    """

    metric: str
    baseline: float
    score: float
    loss: float
    baseline_scores: tuple[float, ...]
    scores: tuple[float, ...]
    version: str = ""

    @property
    def samples(self) -> int:
        return len(self.scores)


class Trial(Record):
    """One plan measured against the baseline of its setting.

    ``status``: ok · failed (``reason`` says why) · skipped (slower than one that is known to be feasible:
    its latency alone was measured, perhaps in few pairs). The losses are of the images from ``offset`` on of
    the split. ``steps`` differs from the setting's only for the equal-time baseline.
    """

    plan: str
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
        """In a line, without the times and scores it is made of."""
        speed = f" {self.speedup:.2f}x" if self.latency else ""
        losses = "".join(f", {metric} loss {loss.loss:.4f}" for metric, loss in self.losses.items())
        why = f": {self.reason}" if self.reason else ""
        return f"<Trial {self.status}{why}: {self.plan or 'baseline'}{speed}{losses}; {self.split}>"

    __str__ = __repr__

    @property
    def speedup(self) -> float:
        """Measured speedup; 0 where the latency was never measured."""
        return self.latency.speedup if self.latency else 0.0

    def feasible(self, limits: Limits) -> bool:
        """Every limited metric measured, and its loss inside the limit."""
        return self.status == "ok" and not limits.broken(self.losses)


class EqualTime(Record):
    """The equal-time baseline: no method, so many steps that it is as fast as the plan.

    ``plan_loses``: the metrics by which the plan loses more. ``dominates``: fewer steps do better by every metric,
    and by more than chance. ``says``: the comparison in words, where the plan loses more by any metric.
    """

    steps: int
    trial: Trial
    plan_loses: tuple[str, ...] = ()
    dominates: bool = False
    says: str = ""


class Bound(Record):
    """The highest feasible speedup of a setting and a set of methods within limits: its plan, which the store
    has a held-out trial of; ``""`` where none is feasible.

    ``complete``: the whole grid was searched, so that what asks for more is out of reach. ``reason`` is that of
    the search's answer, ``equal_time`` the comparison that belongs to it.
    """

    status: Answered
    plan: str = ""
    complete: bool = True
    reason: str = ""
    equal_time: EqualTime | None = None


class Answer(Record):
    """The answer to a task, in the JSON form that other tools rely on.

    ``best`` of an infeasible or undecided answer is the best that was found within the limits.
    ``instead_of``: where plain fewer steps are the answer, as they dominate the plan of methods that was found and
    the request allows them, that plan's trial; ``equal_time`` is its comparison then.
    ``verified``: whether the script's claim held when it was measured again in a fresh process; None: it was not.
    ``fresh``: what was measured there, on prompts and seeds that neither the search nor the verdict used.
    ``complete``: no budget ended the search. ``confidence``: that of the intervals.
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
    fresh: Trial | None = None
    warnings: tuple[str, ...] = ()

    @property
    def dominated(self) -> bool:
        """Plain fewer steps do better than the plan, which stands because it is what was asked for."""
        return self.equal_time is not None and self.equal_time.dominates and self.instead_of is None

    @property
    def exit_code(self) -> int:
        """0 met or likely, 3 infeasible, 4 undecided, 1 failed, or refuted in a fresh process."""
        if self.verified is False:
            return 1
        return {"met": 0, "likely": 0, "infeasible": 3, "undecided": 4, "failed": 1}[self.status]

    def __repr__(self) -> str:
        """In a line; ``to_json`` has all of it."""
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
        data = self.model_dump(mode="json")
        data["task"] = self.task.to_json()
        if self.best is not None:
            data["best"] = self.best.to_json()
        return data
