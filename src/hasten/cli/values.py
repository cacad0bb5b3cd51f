"""Values of flags that need reading."""

from __future__ import annotations

import re

from hasten.errors import InputError
from hasten.task import Task

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


def task_of_flags(pipe: str, sched: str, steps: int, targets: str, *, speedup: str, loss: float) -> Task:
    """The task of the original's flags. Raises InputError."""
    from hasten.methods import METHODS
    from hasten.schedulers import find_scheduler

    target = None if speedup == UPPER_BOUND else {"speedup": _speedup(speedup)}
    names = [name for name in targets.split(",") if name.strip()]
    if not names:
        raise InputError(f"--search_targets is {targets!r}: name at least one of {', '.join(METHODS.names())}.")
    return Task.from_json(
        {
            "model": _model(pipe),
            "scheduler": find_scheduler(sched).name,
            "steps": steps,
            "methods": [METHODS.canonical(name.strip()) for name in names],
            "target": target,
            "max_loss": {"clip_score": loss},
        }
    )


def _speedup(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--req_speedup is {text!r}: a number above 0, or {UPPER_BOUND}.") from None


def _model(pipe: str) -> str:
    """A model's name; the original also took the pipeline's class, which stands for its family's first model."""
    from hasten.models import FAMILIES

    return next((family.models[0].name for family in FAMILIES.all() if family.pipeline == pipe), pipe)
