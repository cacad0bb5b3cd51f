"""Composes the answer in its agreed form from what a search found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hasten.limits import Limits
from hasten.measure.stats import CONFIDENCE
from hasten.methods import is_equal_time
from hasten.records import Answer, EqualTime, Loss, Trial
from hasten.search import SearchResult
from hasten.task import Task

ITSELF = "The plan is the plain pipeline with fewer steps, the equal-time baseline itself: none is beside it"
DRIFT = "{metric} rose by {rise:.1%}, more than the limit of {limit:g}: the images drifted from the baseline's"


def answer_of(task: Task, found: SearchResult) -> Answer:
    """Returns the answer to a task. Its figures are those of the held-out trial, never those of the search."""
    trial, compared = found.confirmed, _in_words(found)
    best = None
    if found.best is not None:
        best = Answer(status="likely", task=task, **figures(task, found.best, compared))
        best = best.model_copy(update={"instead_of": found.instead_of})
        best = best.model_copy(update={"status": "met" if _certain(task, found.best) else "likely"})
    shown = {**figures(task, trial, compared), "instead_of": found.instead_of} if trial else {}
    shown["warnings"] = (*found.notes, *shown.get("warnings", ()))
    search: dict[str, Any] = {
        "trials": len(found.trials),
        "complete": found.complete,
        "reason": found.reason,
        "best": best,
    }
    return Answer(status=found.status, task=task, **search, **shown)


def _certain(task: Task, trial: Trial) -> bool:
    return task.limits.verdict(trial.losses) == "inside"


def figures(task: Task, trial: Trial, compared: EqualTime | None) -> dict[str, Any]:
    """Returns the fields of an answer that come from the deciding trial."""
    plan, latency, loss = trial.plan, trial.latency, headline(trial.losses, task.limits)
    plain = not plan
    return {
        "plan": str(plan),
        "parameters": plan.parameters,
        "speedup": latency.speedup if latency and not plain else None,
        "speedup_interval": latency.interval if latency and not plain else None,
        "quality_loss": loss.loss if loss and not plain else None,
        "quality_loss_interval": loss.interval if loss and not plain else None,
        "baseline_latency_s": latency.baseline_s if latency else None,
        "latency_s": latency.plan_s if latency else None,
        "confidence": latency.confidence if latency else CONFIDENCE,
        "confirmed": trial,
        "equal_time": compared,
        "warnings": tuple(warnings(task, trial, compared)),
    }


def headline(losses: Mapping[str, Loss], limits: Limits) -> Loss | None:
    """Returns the loss that an answer names: of the limited metrics, the one nearest to its limit."""
    limited = [m for m in limits if m in losses]
    return losses[max(limited, key=lambda m: limits.excess(m, losses[m].loss))] if limited else None


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
    if compared is None or own is None or not compared.plan_loses:
        return compared
    pairs = [(m, compared.trial.losses[m].loss, own.losses[m].loss) for m in compared.plan_loses]
    if found.instead_of:
        beside = "; ".join(f"{m} loss {lost:.4f} against {fewer:.4f}" for m, fewer, lost in pairs)
        words = f"{own.plan}, {own.speedup:.2f}x, is no faster and does worse: {beside}."
    else:
        beside = "; ".join(f"{m} loss {fewer:.4f} against {lost:.4f}" for m, fewer, lost in pairs)
        steps = f"{compared.steps} step" + "s" * (compared.steps != 1)
        words = f"The plain pipeline with {steps} is as fast and does better: {beside}."
    return compared.model_copy(update={"says": words})
