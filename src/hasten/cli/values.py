"""Values of flags that need reading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hasten.errors import InputError
from hasten.task import DEFAULT_MAX_LOSS, Task

UNITS = {"s": 1, "m": 60, "h": 3600}
UPPER_BOUND = "upbound_speedup"


def seconds(text: str | float) -> float:
    """``90``, ``90s``, ``10m``, ``1.5h`` → seconds. Raises InputError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(text))
    if not match:
        raise InputError(f"{text!r} is no time. Write seconds, minutes or hours: 90s, 10m, 2h.")
    return float(match[1]) * UNITS[match[2] or "s"]


def numbers(flag: str, text: str) -> list[float]:
    """``0.8,0.9,0.95`` → numbers. Raises InputError."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{flag} is {text!r}: write numbers with commas between, such as 0.8,0.9,0.95.") from None


def loss_limits(given: Iterable[str], clip_score: float | None = None) -> dict[str, float]:
    """The limits that hold together, by metric: ``clip_score=0.02``, several with commas between or one after
    the other; a number alone is that of the CLIP score, as is ``clip_score``. None at all: the default.

    Raises:
        InputError: unknown metric, no number, a number outside 0 to 1, or two limits of one metric.
    """
    found = [("clip_score", clip_score)] if clip_score is not None else []
    found += [_limit(part) for text in given for part in text.split(",")]
    limits: dict[str, float] = {}
    for metric, limit in found:
        if limits.setdefault(metric, limit) != limit:
            raise InputError(f"{metric} has two limits, {limits[metric]:g} and {limit:g}: give one.")
    return limits or dict(DEFAULT_MAX_LOSS)


def limit_cells(given: Sequence[str]) -> list[float | dict[str, float]]:
    """The limits of a matrix: plain numbers, ``0.01,0.02``, are a cell each, of the CLIP score; limits by metric,
    ``clip_score=0.02,ssim=0.2``, hold together in one cell, and each further text is one more.

    Raises:
        InputError: as ``loss_limits``.
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
    pipe: str,
    sched: str | None,
    steps: int | None,
    targets: str,
    *,
    speedup: str,
    loss: float | None = None,
    limits: Sequence[str] = (),
    two_sided: bool = False,
) -> Task:
    """The task of the original's flags; ``limits`` hold beside ``loss`` (``loss_limits``). Raises InputError.

    ``pipe``: a model, or as in the original a pipeline's class, which stands for its family's first model.
    ``sched``, ``steps``: None is what the model's own pipeline has, which is said in the task's assumptions.
    """
    from hasten.methods import METHODS

    target = None if speedup == UPPER_BOUND else {"speedup": _speedup(speedup)}
    names = [name for name in targets.split(",") if name.strip()]
    if not names:
        raise InputError(f"--search_targets is {targets!r}: name at least one of {', '.join(METHODS.names())}.")
    return Task.from_json(
        {
            **_setting(pipe, sched, steps),
            "methods": [METHODS.canonical(name.strip()) for name in names],
            "target": target,
            "max_loss": loss_limits(limits, loss),
            "two_sided": two_sided,
        }
    )


def plain_task(pipe: str, sched: str | None, steps: int | None) -> Task:
    """The task of a model without methods, as ``task_of_flags``. Raises InputError."""
    return Task.from_json(_setting(pipe, sched, steps))


def _setting(pipe: str, sched: str | None, steps: int | None) -> dict[str, Any]:
    """Model, scheduler and steps of a task, and what was assumed where the last two are left to the model."""
    from hasten.models import assumed_scheduler, assumed_steps, model_name, usual_scheduler, usual_steps
    from hasten.schedulers import find_scheduler

    model = model_name(pipe)
    assumed = [assumed_steps(model)] * (steps is None) + [assumed_scheduler(model)] * (not sched)
    return {
        "model": model,
        "scheduler": find_scheduler(sched).name if sched else usual_scheduler(model),
        "steps": usual_steps(model) if steps is None else steps,
        "assumptions": assumed,
    }


def _speedup(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--req_speedup is {text!r}: a number above 0, or {UPPER_BOUND}.") from None
