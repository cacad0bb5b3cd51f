"""Checks that find errors before a device is waited for, a hub is asked or a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hasten.errors import InputError, UnsupportedError
from hasten.measure.prompts import load
from hasten.methods import METHODS, REMOVE, check_plan, is_installed, unfit
from hasten.metrics import METRICS, find_scorer
from hasten.models import Model, check_device, check_source, family_named
from hasten.plan import Plan
from hasten.search.task_plans import is_tried
from hasten.task import Task
from hasten.workflow.place import Place


def check_request(task: Task, model: Model, place: Place) -> None:
    """Checks a task on a model, at a place.

    Raises:
        InputError: a folder lacks files, prompts cannot be read, or a scorer, metric or device does not exist.
        UnsupportedError: a method cannot take the models of that family.
    """
    check_methods(task, task.methods)
    check_source(model)
    load(place.prompts or model.prompts)
    find_scorer(model.scorer)
    for metric in task.max_loss:
        METRICS.get(metric).find()
    if place.device is not None:
        check_device(place.device)


def check_plans(task: Task, plans: Sequence[Plan]) -> None:
    """Checks plans on the model of a task.

    Raises:
        InputError: a method is unknown, a parameter is illegal, or methods clash.
        UnsupportedError: a method cannot take the models of that family.
    """
    for plan in plans:
        check_methods(task, check_plan(plan, steps=task.steps).methods)


def check_methods(task: Task, names: Sequence[str] | None) -> None:
    """Checks methods by the classes of a model whose family is known. With None, those that the task leaves open
    are checked.

    Raises:
        UnsupportedError: one of the named methods cannot be used there, or none of the open ones can.
    """
    model, family = task.model, family_named(task.model)
    if family is None:
        return
    if names is None:
        tried = [method for method in METHODS.all() if is_tried(method, task, task.parameters)]
        if all(unfit(method, family) for method in tried):
            raise UnsupportedError(
                f"None of the methods that would be tried ({', '.join(m.name for m in tried)}) supports {model}: "
                f"name one of those that `hasten list methods --model {model}` shows to fit."
            )
    for method in map(METHODS.get, names or ()):
        if reason := unfit(method, family):
            raise UnsupportedError(f"{method.title} cannot be used with {model}: {reason}.")


def check_pipeline(pipe: Any) -> None:
    """Raises InputError where the object is not a diffusers pipeline."""
    if callable(pipe) and not isinstance(pipe, type) and hasattr(type(pipe), "components"):
        return
    kind = f"the class {pipe.__name__}" if isinstance(pipe, type) else f"a {type(pipe).__name__}"
    what = "None" if pipe is None else kind
    raise InputError(
        f"pipe is {what}: give a diffusers pipeline, such as DiffusionPipeline.from_pretrained(folder) makes."
    )


def check_bare(pipe: Any) -> None:
    """Raises InputError where a plan is applied to the pipeline, because the baseline would be accelerated as
    well."""
    applied = [method.title for method in METHODS.all() if is_installed(method.name, pipe)]
    if applied:
        raise InputError(
            f"This pipeline already has a plan of hasten's ({', '.join(applied)}), and would be measured with it: "
            f"{REMOVE}."
        )


def check_own_place(pipe: Any, denoiser: Any, place: Place) -> None:
    """Raises InputError where the place differs from that of the user's own pipeline, which is measured where it
    is."""
    device, dtype = str(pipe._execution_device), str(denoiser.dtype).removeprefix("torch.")
    if place.device is not None and device not in (place.device, f"{place.device}:0"):
        raise InputError(
            f"device is {place.device!r}, but the pipeline is on {device!r}, where it is measured: move it with "
            f"pipe.to({place.device!r}), or leave device out."
        )
    if place.dtype is not None and place.dtype != dtype:
        raise InputError(
            f"dtype is {place.dtype!r}, but the pipeline computes in {dtype}: load it with "
            f"torch_dtype=torch.{place.dtype}, or leave dtype out."
        )
