"""The answer to a task: a status, the trial that decided, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hasten.plan import Parameters, Plan
from hasten.records import (
    CONFIDENCE,
    Confirmation,
    EqualTime,
    Interval,
    Latency,
    Loss,
    Planned,
    Record,
    Status,
    Trial,
)
from hasten.task import Task

FIGURES = (
    *("confidence", "plan", "parameters", "speedup", "speedup_interval"),
    *("quality_loss", "quality_loss_interval", "baseline_latency_s", "latency_s"),
)
"""The fields that an answer has in JSON alone. In Python they are properties."""


class StatedFigures(Record):
    """A plan and its figures as a file states them, for an answer that nothing was measured for.

    Attributes:
        plan: the plan; its text in JSON.
        speedup: the speedup, without an interval.
        quality_loss: the relative loss of the CLIP score, without an interval.
    """

    plan: Planned
    speedup: float | None = None
    quality_loss: float | None = None


class Answer(Record):
    """The answer to a task.

    Its figures are properties: they follow from the trial that decided, and are never set. The JSON form, which
    other tools rely on, has them beside the other fields.

    Attributes:
        status: *met*, *likely*, *infeasible*, *undecided* or *failed*.
        task: the task that was answered.
        trials: the number of trials in the search.
        complete: whether the search came to its end, and no budget ended it.
        script: the path of the script.
        report: the path of the report.
        reason: why the answer is not met.
        best: for an infeasible or undecided answer, the best answer that was found within the limits.
        confirmed: the trial on held-out prompts that decided.
        stated: the plan and the figures of a file, in the place of a trial. In JSON only the figures tell of it.
        equal_time: the comparison with fewer steps.
        instead_of: the trial of the plan of methods that was found, where plain fewer steps are the answer because
            they dominate it and the request allows them. ``equal_time`` is then the comparison with that plan.
        verified: whether the script's claim held when a fresh process measured it again; None where none did.
        outcome: the outcome of that measurement: *confirmed*, *not refuted* or *refuted*.
        fresh: the trial of that process, on prompts and seeds that neither the search nor the verdict used.
        warnings: what a reader should also know.

    Example:
        >>> answer = Answer(status="met", task=task, confirmed=trial)
        >>> answer.speedup, answer.quality_loss
        (2.1, 0.0034)
    """

    status: Status
    task: Task
    trials: int = 0
    complete: bool = True
    script: str | None = None
    report: str | None = None
    reason: str = ""
    best: Answer | None = None
    confirmed: Trial | None = None
    stated: StatedFigures | None = Field(default=None, exclude=True)
    equal_time: EqualTime | None = None
    instead_of: Trial | None = None
    verified: bool | None = None
    outcome: Confirmation | None = None
    fresh: Trial | None = None
    warnings: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        """The plan that answers the task. It is empty for a plain pipeline, and where no plan does."""
        decided = self.confirmed or self.stated
        return decided.plan if decided else Plan()

    @property
    def plan_text(self) -> str:
        """The text of the plan: ``baseline`` for a plain pipeline, and empty where no plan answers the task."""
        return str(self.plan) if self.confirmed or self.stated else ""

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The plan's parameters by method."""
        return self.plan.parameters

    @property
    def confidence(self) -> float:
        """The probability that an interval holds the true value."""
        return self._latency.confidence if self._latency else CONFIDENCE

    @property
    def speedup(self) -> float | None:
        """The speedup, measured on held-out prompts like all figures of the answer. None for a plain pipeline."""
        if self._latency and self.plan:
            return self._latency.speedup
        return self.stated.speedup if self.stated else None

    @property
    def speedup_interval(self) -> Interval | None:
        """The interval of the speedup."""
        return self._latency.interval if self._latency and self.plan else None

    @property
    def quality_loss(self) -> float | None:
        """The loss by the limited metric; of several, by the one nearest to its limit. None for a plain
        pipeline."""
        if self._loss:
            return self._loss.loss
        return self.stated.quality_loss if self.stated else None

    @property
    def quality_loss_interval(self) -> Interval | None:
        """The interval of the loss."""
        return self._loss.interval if self._loss else None

    @property
    def baseline_latency_s(self) -> float | None:
        """The median seconds of a call of the baseline."""
        return self._latency.baseline_s if self._latency else None

    @property
    def latency_s(self) -> float | None:
        """The median seconds of a call with the plan."""
        return self._latency.plan_s if self._latency else None

    @property
    def shown(self) -> Answer:
        """The answer whose figures a reader is shown: this one or, where it has no plan, the best that was
        found."""
        return self.best if self.best and not self.plan_text else self

    @property
    def _latency(self) -> Latency | None:
        return self.confirmed.latency if self.confirmed else None

    @property
    def _loss(self) -> Loss | None:
        losses = self.confirmed.losses if self.confirmed and self.plan else {}
        nearest = self.task.limits.nearest(losses)
        return losses[nearest] if nearest else None

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
        shown = self.shown
        speed = f" {shown.speedup:.2f}x" if shown.speedup else ""
        if speed and shown.speedup_interval:
            speed += f" ({shown.speedup_interval[0]:.2f} to {shown.speedup_interval[1]:.2f})"
        loss = f", loss {shown.quality_loss:.4f}" if shown.quality_loss is not None else ""
        plan = f" {'' if shown is self else 'best '}{shown.plan_text}" if shown.plan_text else ""
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

    @model_serializer(mode="wrap")
    def _with_figures(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        figures = {name: getattr(self, name) for name in FIGURES} | {"plan": self.plan_text}
        own = fields(self)
        return {"status": own.pop("status"), "task": own.pop("task"), **figures, **own}

    @model_validator(mode="before")
    @classmethod
    def _without_figures(cls, given: Any) -> Any:
        """Reads JSON data: the figures follow from the trial or, where there is none, were stated by a file."""
        if not isinstance(given, Mapping) or not given.keys() & set(FIGURES):
            return given
        own = {name: value for name, value in given.items() if name not in FIGURES}
        if given.get("plan") and not given.get("confirmed"):
            stated = {name: given.get(name) for name in StatedFigures.model_fields}
            own["stated"] = StatedFigures.model_validate(stated)
        return own
