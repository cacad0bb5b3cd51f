"""Composes the answer in its agreed form from what a search found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hasten.answer import Answer
from hasten.measure.equal_time import surely_worse
from hasten.methods import is_equal_time
from hasten.records import EqualTime, Loss, Trial
from hasten.search import SearchResult
from hasten.task import Task

ITSELF = "The plan is the plain pipeline with fewer steps, the equal-time baseline itself: none is beside it"
DRIFT = "{metric} rose by {rise:.1%}, more than the limit of {limit:g}: the images drifted from the baseline's"


def answer_of(task: Task, found: SearchResult) -> Answer:
    """Returns the answer to a task. Its figures are those of the held-out trial, never those of the search."""
    compared, best = _in_words(found), None
    if found.best is not None:
        certain = task.limits.verdict(found.best.losses) == "inside"
        decided = {**decided_by(task, found.best, compared), "instead_of": found.instead_of}
        best = Answer(status="met" if certain else "likely", task=task, **decided)
    shown: dict[str, Any] = {}
    if found.confirmed is not None:
        shown = {**decided_by(task, found.confirmed, compared), "instead_of": found.instead_of}
    return Answer(
        status=found.status,
        task=task,
        trials=len(found.trials),
        complete=found.complete,
        reason=found.reason,
        best=best,
        **{**shown, "warnings": (*found.notes, *shown.get("warnings", ()))},
    )


def decided_by(task: Task, trial: Trial, compared: EqualTime | None) -> dict[str, Any]:
    """Returns the fields of an answer that the deciding trial determines."""
    return {"confirmed": trial, "equal_time": compared, "warnings": tuple(warnings(task, trial, compared))}


def warnings(task: Task, trial: Trial, compared: EqualTime | None) -> Iterable[str]:
    """Yields what a person should know before using the plan."""
    if trial.latency:
        yield from trial.latency.warnings
    for metric, limit in task.max_loss.items():
        if metric in trial.losses and (rise := -trial.losses[metric].loss) > limit > 0:
            yield DRIFT.format(metric=metric, rise=rise, limit=limit)
    if is_equal_time(trial.plan) and compared is None:
        yield ITSELF


def _in_words(found: SearchResult) -> EqualTime | None:
    """Returns the comparison with fewer steps, with its words, which are the second sentence of an answer."""
    compared, own = found.equal_time, found.instead_of or found.confirmed or found.best
    if compared is None or own is None:
        return compared
    words = _instead_of(compared, own) if found.instead_of else _against(compared, own)
    return compared.model_copy(update={"says": words}) if words else compared


def _instead_of(compared: EqualTime, own: Trial) -> str:
    """Returns why fewer steps are the answer and the plan is not."""
    beside = _beside(compared.plan_loses, own.losses, compared.trial.losses)
    return f"{own.plan}, {own.speedup:.2f}x, is no faster and does worse: {beside}." if beside else ""


def _against(compared: EqualTime, own: Trial) -> str:
    """Returns by what the plan beats fewer steps, or they beat it, by more than chance; or that neither does."""
    fewer, plain = compared.trial.losses, _plainly(compared)
    if wins := [m for m, loss in own.losses.items() if m in fewer and surely_worse(fewer[m], loss)]:
        but = _beside(compared.plan_loses, own.losses, fewer)
        words = f"It beats {plain} in the same time: {_beside(wins, own.losses, fewer)}"
        return f"{words}; but not by {but}." if but else f"{words}."
    if lost := [m for m in compared.plan_loses if surely_worse(own.losses[m], fewer[m])]:
        return f"{plain.capitalize()} is as fast and does better: {_beside(lost, fewer, own.losses)}."
    if compared.plan_loses:
        both = _beside([m for m in own.losses if m in fewer], fewer, own.losses)
        return f"{plain.capitalize()} is as fast, and neither does better by more than chance: {both}."
    return ""


def _plainly(compared: EqualTime) -> str:
    return f"the plain pipeline with {compared.steps} step" + "s" * (compared.steps != 1)


def _beside(metrics: Iterable[str], ones: Mapping[str, Loss], others: Mapping[str, Loss]) -> str:
    return "; ".join(f"{m} loss {ones[m].loss:.4f} against {others[m].loss:.4f}" for m in metrics)
