"""The scheduler and number of steps of a model for requests that name none: those of the model's own pipeline."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hasten.errors import InputError, UnknownNameError
from hasten.files import folder_at
from hasten.models._known import family_named, find_model
from hasten.models.base import Family, Model
from hasten.schedulers import SCHEDULERS, scheduler_of


def call_parameters(pipeline: type) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a pipeline class's call by name.

    Where the call passes on keywords that it does not name, as that of a user's own class may do, the parameters
    of the classes that it is derived from count as well.
    """
    found: dict[str, inspect.Parameter] = {}
    for kind in pipeline.__mro__:
        if (call := vars(kind).get("__call__")) is not None:
            named = inspect.signature(call).parameters
            found = {**named, **found}
            if not any(one.kind is one.VAR_KEYWORD for one in named.values()):
                break
    return found


def usual_argument(pipe: Any, name: str) -> Any:
    """Returns the value that a call of the pipeline has for an argument that it is not given.

    Raises:
        InputError: the class does not tell it.
    """
    parameter = call_parameters(type(pipe)).get(name)
    if parameter is None or parameter.default is parameter.empty:
        raise InputError(f"The call of {type(pipe).__name__} does not tell its usual {name}: give {name}.")
    return parameter.default


def usual_scheduler(model: str) -> str:
    """Returns the canonical name of the scheduler that a model, or the pipeline in a folder, comes with.

    Where hasten has no name for that scheduler, or nothing tells it, the scheduler of the family's first model is
    returned.
    """
    return _scheduler(model)[0]


def usual_steps(model: str) -> int:
    """Returns a model's usual number of steps. A folder has that of its family's first model."""
    return _steps(model)[0]


def assumed_scheduler(model: str) -> str:
    """Returns the note for a request without scheduler: ``scheduler Euler: that of SDXL's own pipeline``."""
    name, why = _scheduler(model)
    return f"scheduler {name}: {why}"


def assumed_steps(model: str) -> str:
    """Returns the note for a request without a number of steps: ``steps 50: the usual number for SDXL``."""
    steps, of = _steps(model)
    return f"steps {steps}: the usual number for {of}"


def _scheduler(model: str) -> tuple[str, str]:
    """Returns the scheduler's name, and the reason for it."""
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
    """Returns the number of steps, and the model or family that it is usual for."""
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
    """Returns a file of a model's folder as a mapping, empty where it cannot be read: loading reports the
    fault."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}
