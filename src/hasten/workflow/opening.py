"""Opens the bench of a task: the model on a device, in the setting that the task and the user ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hasten.errors import InputError, UnknownNameError, UnsupportedError
from hasten.files import folder_at, user_cache
from hasten.language.parse import parse
from hasten.measure.bench import Bench
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline, known_family
from hasten.measure.setting import pipeline_of
from hasten.measure.thread_choice import threads_set
from hasten.measure.watchdog import limited
from hasten.methods import METHODS
from hasten.models import (
    family_named,
    find_model,
    load_pipeline,
    model_at,
    refuse_file_in,
    refuse_single_file,
    usual_argument,
)
from hasten.models.base import Family, Model
from hasten.models.stable_diffusion import VIT_G_14
from hasten.schedulers import SCHEDULERS, find_scheduler
from hasten.search import check_task
from hasten.task import Setting, Task, target_of
from hasten.workflow.checks import check_bare, check_own_place, check_request
from hasten.workflow.place import Place

PROMPTS = "general"
ASKED = ("height", "width", "guidance_scale", "prompts")


def task_of(request: str | Task) -> Task:
    """Returns the task of a sentence, or the given task, with canonical names and all parameters checked.

    Raises:
        InputError: the sentence is not a request, a name is unknown, or a parameter is illegal.
    """
    if not isinstance(request, str | Task):
        raise InputError(f"The request is {request!r}: give a sentence, or a task.")
    if isinstance(request, str):
        refuse_file_in(request)
    task = parse(request) if isinstance(request, str) else request
    parameters = {METHODS.canonical(m): given for m, given in task.parameters.items()}
    methods = None if task.methods is None else tuple(METHODS.canonical(m) for m in task.methods)
    changes: dict[str, Any] = {"methods": methods, "parameters": parameters}
    changes["excluded"] = tuple(METHODS.canonical(m) for m in task.excluded)
    changes["scheduler"] = find_scheduler(task.scheduler).name
    task = task.model_copy(update=changes)
    check_task(task)
    return task


def placed(task: Task, place: Place) -> Place:
    """Returns the place, completed with what the request itself says about its setting.

    Raises:
        InputError: the request and the place contradict each other.
    """
    said = task.own_setting
    for name, value in said.items():
        given = getattr(place, name)
        if name == "device" and given is not None and given.startswith(f"{value}:"):
            said = {**said, name: given}  # "on cuda" means any GPU, such as the one that a worker was given
        elif given not in (None, value):
            raise InputError(
                f"The request asks for {name} {value}, and beside it {given} is given: give one of them."
            )
    return replace(place, **said)


def listed_prompts(place: Place) -> tuple[str, ...]:
    """Returns the prompts that were given as a list."""
    return () if place.prompts is None or isinstance(place.prompts, str) else place.prompts


def require_plain(task: Task, what: str) -> None:
    """Raises InputError where the task names methods, although the ``what`` to measure is given beside it."""
    if task.mode != "plain":
        raise InputError(f"The request names methods ({task.methods}): give the {what} beside a plain request.")


def model_of(task: Task, place: Place) -> Model:
    """Returns the model of that name, or one for a local folder.

    Raises:
        UnknownNameError: there is no such model, and no such folder.
        UnsupportedError: the scheduler does not fit the model.
        InputError: the request and the place contradict each other, or the model is a single file.
    """
    place = placed(task, place)
    asked: dict[str, Any] = {
        name: given for name in ("scorer", "prompts") if isinstance(given := getattr(place, name), str)
    }
    refuse_single_file(task.model)
    check_scheduler(family_named(task.model), task.scheduler)
    try:
        model = find_model(task.model)[1]
    except UnknownNameError:
        folder = folder_at(task.model)
        if folder is None:
            raise
        model = Model(str(folder), str(folder), 0, 0.0, VIT_G_14, PROMPTS, task.steps)
    return replace(model, **asked)


def check_scheduler(family: Family | None, name: str) -> None:
    """Raises UnsupportedError for a scheduler that does not fit the models of the family."""
    scheduler = next((s for s in SCHEDULERS if s.name == name), None)
    reason = family.unfit(scheduler) if family and scheduler else None
    if family and reason:
        raise UnsupportedError(
            f"{family.title} cannot be used with the scheduler {name}: {reason}. "
            f"It takes: {', '.join(family.fitting)}."
        )


@contextmanager
def open_bench(task: Task, model: Model, place: Place) -> Iterator[Bench]:
    """Opens the bench, on a device that no other process measures on inside the context.

    Raises:
        InputError: the model, device or dtype cannot be used, or the request and the place contradict each other.
    """
    place = placed(task, place)
    check_request(task, model, place)
    device, dtype = device_of(place, family_named(model.name))
    with device_lock(device):
        pipe = load_pipeline(model, find_scheduler(task.scheduler), dtype=dtype, device=device)
        usual = {
            "height": model.resolution or None,
            "width": model.resolution or None,
            "guidance_scale": model.guidance_scale if model.resolution else None,
            "prompts": model.prompts,
            "model_name": model.name,
        }
        pipeline = _pipeline(pipe, task.steps, place, usual)
        with bench_around(pipeline, replace(place, scorer=place.scorer or model.scorer)) as bench:
            yield bench


@contextmanager
def bench_around(pipeline: Pipeline, place: Place) -> Iterator[Bench]:
    """Opens the bench of a pipeline in its setting, alone on its device and with the threads that the place asks
    for."""
    within = limited(pipeline.time_limit, place.trial_timeout_s)
    with device_lock(pipeline.setting.device), within, threads_set(place.threads, pipeline):
        yield Bench.around(pipeline, scorer=place.scorer, cache_dir=_cache(), confidence=place.confidence)


def pipeline_in(pipe: Any, steps: int | None, place: Place) -> Pipeline:
    """Returns a pipeline that the user already has, to be measured on its own device and in its own dtype.

    With ``steps`` None, it has the usual number of its model where that is known, or else the default of its call.

    Raises:
        InputError: hasten does not know such a pipeline, its scheduler does not fit it, or a plan is applied to
            it.
    """
    known_family(pipe)
    check_bare(pipe)
    pipeline = _pipeline(pipe, _usual_steps_of(pipe) if steps is None else steps, place, {})
    check_scheduler(pipeline.family, pipeline.setting.scheduler)
    check_own_place(pipe, pipeline.denoiser, place)
    return pipeline


def _usual_steps_of(pipe: Any) -> int:
    model = model_at(str(pipe.config.get("_name_or_path")))
    return model.steps if model else int(usual_argument(pipe, "num_inference_steps"))


def _pipeline(pipe: Any, steps: int, place: Place, usual: Mapping[str, Any]) -> Pipeline:
    """Returns the pipeline in its setting. The place takes precedence over ``usual``, and that over the pipeline's
    defaults."""
    asked = {name: getattr(place, name) for name in ASKED if getattr(place, name) is not None}
    return pipeline_of(pipe, steps=steps, seed=place.seed, batch_size=place.batch_size or 1, **{**usual, **asked})


def _cache() -> Path:
    """Returns the folder that keeps baseline images for other processes: the user's cache folder."""
    return user_cache("baselines")


def task_for(
    setting: Setting,
    methods: Sequence[str] | None,
    speedup: float | None,
    latency_s: float | None,
    max_loss: float | Mapping[str, float],
    two_sided: bool = False,
) -> Task:
    """Returns the task for a pipeline object. Raises InputError."""
    target = target_of(speedup, latency_s)
    if methods is not None and not methods:
        raise InputError("methods is empty: name at least one, or give None for any that support the pipeline.")
    return Task.from_json(
        {
            "model": setting.model,
            "scheduler": setting.scheduler,
            "steps": setting.steps,
            "methods": None if methods is None else [METHODS.canonical(m) for m in methods],
            "target": target and target.model_dump(),
            "max_loss": dict(max_loss) if isinstance(max_loss, Mapping) else {"clip_score": max_loss},
            "two_sided": two_sided,
        }
    )


def device_of(place: Place, family: Family | None = None) -> tuple[str, str]:
    """Returns the device and dtype asked for, or else the GPU in the family's half precision, or the CPU in
    float32."""
    import torch

    device = place.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return device, place.dtype or usual_dtype(device, family)


def usual_dtype(device: str, family: Family | None) -> str:
    """Returns the dtype where none is asked for."""
    return (family or Family).half_dtype if device.startswith("cuda") else "float32"
