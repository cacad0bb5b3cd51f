"""The scheduler and the number of steps of a model where a request names none: those of its own pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hasten.errors import UnknownNameError
from hasten.files import folder_at
from hasten.models._known import family_named, find_model
from hasten.models.base import Family, Model
from hasten.schedulers import SCHEDULERS, scheduler_of


def usual_scheduler(model: str) -> str:
    """The canonical name of the scheduler that a model, or the pipeline in a folder, comes with.

    Where it comes with one that hasten has no name for, or nothing tells, that of its family's first model.
    """
    return _scheduler(model)[0]


def usual_steps(model: str) -> int:
    """The number of steps that a model is usually drawn with; of a folder that of its family's first model."""
    return _steps(model)[0]


def assumed_scheduler(model: str) -> str:
    """What is said where a request names no scheduler: ``scheduler Euler: that of SDXL's own pipeline``."""
    name, why = _scheduler(model)
    return f"scheduler {name}: {why}"


def assumed_steps(model: str) -> str:
    """What is said where a request names no number of steps: ``steps 50: the usual number for SDXL``."""
    steps, of = _steps(model)
    return f"steps {steps}: the usual number for {of}"


def _scheduler(model: str) -> tuple[str, str]:
    """Its name, and why it is taken."""
    family, known = _found(model)
    if known is not None:
        return known.scheduler, f"that of {known.name}'s own pipeline"
    config = _json((folder_at(model) or Path()) / "scheduler" / "scheduler_config.json")
    own = scheduler_of(str(config.get("_class_name")), config)
    if own is not None:
        return own.name, "the one that the folder has"
    if family is None:
        return SCHEDULERS[0].name, "the default"
    return family.models[0].scheduler, f"the usual one of {family.title}"


def _steps(model: str) -> tuple[int, str]:
    """The number, and what it is usual for."""
    family, known = _found(model)
    if known is not None:
        return known.steps, known.name
    return (family.models[0].steps, family.title) if family else (Model.steps, model)


def _found(model: str) -> tuple[Family | None, Model | None]:
    try:
        return find_model(model)
    except UnknownNameError:
        return family_named(model), None


def _json(path: Path) -> Mapping[str, Any]:
    """What a file of a model's folder says; empty where that cannot be read, which its loading will tell."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}
