"""Reads values of flags that need more than the table of options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError

if TYPE_CHECKING:
    from hasten.task import Task


def numbers(flag: str, text: str) -> list[float]:
    """Returns the numbers of a text such as ``0.8,0.9,0.95``. Raises InputError."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{flag} is {text!r}: write numbers with commas between, such as 0.8,0.9,0.95.") from None


def loss_limits(given: Iterable[str], clip_score: float | None = None) -> dict[str, float]:
    """Returns limits that hold together, by metric. Texts such as ``clip_score=0.02`` may be given several times
    or with commas between them. A number alone limits the CLIP score, as ``clip_score`` does. Without any, the
    default applies.

    Raises:
        InputError: a metric is unknown, a limit is no number or outside 0 to 1, or a metric has two limits.
    """
    from hasten.task import DEFAULT_MAX_LOSS

    found = [("clip_score", clip_score)] if clip_score is not None else []
    found += [_limit(part) for text in given for part in text.split(",")]
    limits: dict[str, float] = {}
    for metric, limit in found:
        if limits.setdefault(metric, limit) != limit:
            raise InputError(f"{metric} has two limits, {limits[metric]:g} and {limit:g}: give one.")
    return limits or dict(DEFAULT_MAX_LOSS)


def limit_cells(given: Sequence[str]) -> list[float | dict[str, float]]:
    """Returns the cells of limits of a matrix. Plain numbers, ``0.01,0.02``, are one cell each, for the CLIP
    score. Limits by metric, ``clip_score=0.02,ssim=0.2``, share one cell, and each further text is another
    cell.

    Raises:
        InputError: for the same reasons as ``loss_limits``.
    """
    cells: list[float | dict[str, float]] = []
    for text in given:
        cells += [loss_limits([text])] if "=" in text else numbers("--max-loss", text)
    return cells


def _limit(text: str) -> tuple[str, float]:
    from hasten.metrics import METRICS

    name, equals, number = text.rpartition("=")
    metric = METRICS.canonical(name.strip()) if equals else "clip_score"
    try:
        limit = float(number)
    except ValueError:
        limit = -1.0
    if not 0 <= limit <= 1:
        raise InputError(f"The loss limit {text.strip()!r} is none: write metric=number, 0 to 1, as in ssim=0.2.")
    return metric, limit


def task_of_flags(
    *,
    model: str | None = None,
    scheduler: str | None = None,
    steps: int | None = None,
    methods: Sequence[str] | None = (),
    plan: str | None = None,
    speedup: float | None = None,
    latency_s: float | None = None,
    max_loss: Sequence[str] | None = None,
    two_sided: bool = False,
) -> Task:
    """Returns the task that the flags of a request ask for, under their names in the table of options.

    Args:
        model: a model, or (as in the original) a pipeline's class, which stands for its family's first model.
        scheduler, steps: None takes those of the model's own pipeline, which the task's assumptions say.
        methods: None for any; empty for the methods of the plan, if there is one.
        max_loss: limits that hold together, as for ``loss_limits``.

    Raises:
        InputError: a name is unknown, a number is impossible, or two targets are given.
    """
    from hasten.task import Task, target_of

    if model is None:
        raise InputError("The request names no model: give --model, or a sentence.")
    target = target_of(speedup, latency_s)
    return Task.from_json(
        {
            **_setting(model, scheduler, steps),
            **_accelerated(methods, plan),
            "target": target and target.model_dump(),
            "max_loss": loss_limits(max_loss or ()),
            "two_sided": two_sided,
        }
    )


def open_task(*, methods: Sequence[str] | None, plan: str | None, **asked: Any) -> Task:
    """Returns a task like ``task_of_flags``. Without methods or a plan, any method is allowed, as an
    assumption."""
    task = task_of_flags(methods=() if plan and methods is None else methods, plan=plan, **asked)
    if methods is not None or plan:
        return task
    return task.model_copy(update={"assumptions": ("methods any: none was named", *task.assumptions)})


def plain_task(model: str, scheduler: str | None, steps: int | None) -> Task:
    """Returns the task of a model without methods, like ``task_of_flags``. Raises InputError."""
    return task_of_flags(model=model, scheduler=scheduler, steps=steps)


def _accelerated(methods: Sequence[str] | None, plan: str | None) -> dict[str, Any]:
    """Returns the methods of a task, and the parameters that the plan fixes."""
    from hasten.methods import METHODS
    from hasten.plan import Plan

    given = Plan.parse(plan).parameters if plan else {}
    fixed = {METHODS.canonical(name): parameters for name, parameters in given.items()}
    named = None if methods is None else [*(METHODS.canonical(name) for name in methods), *fixed]
    return {"methods": named, "parameters": fixed}


def _setting(name: str, scheduler: str | None, steps: int | None) -> dict[str, Any]:
    """Returns model, scheduler and steps of a task, with assumptions for those that are left to the model."""
    from hasten.models import assumed_scheduler, assumed_steps, model_name, usual_scheduler, usual_steps
    from hasten.schedulers import find_scheduler

    model = model_name(name)
    assumed = [assumed_steps(model)] * (steps is None) + [assumed_scheduler(model)] * (not scheduler)
    return {
        "model": model,
        "scheduler": find_scheduler(scheduler).name if scheduler else usual_scheduler(model),
        "steps": usual_steps(model) if steps is None else steps,
        "assumptions": assumed,
    }
