"""Functions for programs: ``run`` a request, ``tune`` a pipeline that you have, ``accelerate`` it by a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hasten.answer import Answer
from hasten.limits import Limits
from hasten.measure.contract import METRIC_NAMES
from hasten.measure.profile import BATCH_SIZES, Profile
from hasten.models import load_pipeline
from hasten.options import checked, values
from hasten.plan import Plan, plan_of
from hasten.records import EqualTime, Latency, Loss, Trial
from hasten.search import Progress, SearchOptions, check_task, run_search
from hasten.store.seeds.tasks_file import Request
from hasten.task import Target, Task, target_of
from hasten.workflow.answering import answered
from hasten.workflow.answers import answer_of
from hasten.workflow.batch import BatchAnswer, Tell, batch_of, in_order
from hasten.workflow.checks import check_pipeline
from hasten.workflow.choices import Choices, ScriptChoices, split
from hasten.workflow.comparing import Compared, Comparison, compared
from hasten.workflow.delivery import Delivery, command_of
from hasten.workflow.explore import check_files, keep
from hasten.workflow.explore import explore as explore_tasks
from hasten.workflow.folder import check_folder, folder_of
from hasten.workflow.generate import Generation, generation_of, request_of
from hasten.workflow.jobs import AUTO
from hasten.workflow.matrix import Matrix, matrix_of
from hasten.workflow.matrix import run_matrix as all_stages
from hasten.workflow.opening import bench_around, listed_prompts, pipeline_in, task_for, task_of
from hasten.workflow.place import Place
from hasten.workflow.profiling import profiled

if TYPE_CHECKING:
    from hasten.methods import Handle, MethodStats
    from hasten.script.claim import Runtime

__all__ = [
    "Answer",
    "Compared",
    "Comparison",
    "EqualTime",
    "Generation",
    "Handle",
    "Latency",
    "Limits",
    "Loss",
    "Matrix",
    "MethodStats",
    "Place",
    "Plan",
    "Profile",
    "Progress",
    "SearchOptions",
    "Target",
    "Task",
    "Trial",
    "accelerate",
    "compare",
    "explore",
    "generate",
    "load_pipeline",
    "profile",
    "run",
    "run_matrix",
    "search",
    "tune",
]

Report = Callable[[Progress], None]


def run(
    request: str | Task,
    *,
    out: str | Path | None = None,
    runtime: Runtime = "hasten",
    allow_known_wrong: bool = False,
    verify: bool = True,
    command: str | None = None,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """Answers one request: writes a script (when met or likely) and a report into the folder ``out``.

    Example::

        answer = hasten.run("Make SD1.5 2x faster with DeepCache, 50 DDIM steps", max_time_s=1800)
        print(answer.status, answer.plan, answer.script)

    Args:
        request: a sentence, or a task.
        out: the folder; None: a folder in ``hasten-out`` whose name describes the task.
        runtime: ``hasten`` or ``upstream``, the packages that the script calls.
        allow_known_wrong: whether upstream scripts that are known to go wrong are written, with a warning in them.
        verify: whether the script is measured again in a fresh process. A claim that does not hold there is not
            *met*.
        command: the command that the script and the report give for producing the same again.
        progress: is called with a ``Progress`` as the search goes on.
        choices: strategy, preference, budgets, the place where trials are kept, device, dtype, batch size,
            resolution, guidance, scorer, prompts, seed: see ``hasten.workflow.choices``.

    Raises:
        InputError: the request cannot be used. Nothing was written or measured.
        KeyboardInterrupt: the user interrupted the search. All finished trials are kept, and the same call goes on
            from there.
    """
    values.function("progress", progress)
    given = checked({"runtime": runtime, "verify": verify, "allow_known_wrong": allow_known_wrong})
    options, place = split(choices)
    task = task_of(request)
    words = request if isinstance(request, str) else None
    delivery = Delivery(
        folder=folder_of(task, out),
        command=command or command_of(words or task),
        request=words,
        seed=place.seed,
        **given,
        prompts=listed_prompts(place),
    )
    return answered(task, place, options, progress, delivery)


def search(
    request: str | Task,
    *,
    out: str | Path | None = None,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """Answers a request like ``run``, but writes no script and no report, only the store of trials.

    Where ``out`` is given, the answer is added to ``search_params.json`` in that folder, and an upper bound also
    to ``speedup_bounds.json``.
    """
    values.function("progress", progress)
    options, place = split(choices)
    if out is not None:
        check_folder(Path(values.path("out", out)).absolute())
        check_files(Path(out))
    answer = answered(task_of(request), place, options, progress)
    if out is not None:
        keep(answer, Path(out))
    return answer


def explore(
    matrix: Matrix | Mapping[str, Any],
    *,
    out: str | Path,
    devices: Sequence[str] = (AUTO,),
    margin: float = 1.0,
    tell: Tell | None = None,
    **choices: Unpack[Choices],
) -> list[BatchAnswer]:
    """Finds the upper bound of every cell of a matrix. A later call continues where this one was stopped.

    Each bound is written to ``speedup_bounds.json`` and ``search_params.json`` in ``out`` as soon as it is known.

    Example::

        hasten.explore(
            {"models": "SD1.5", "schedulers": ["DDIM", "UniPC"], "steps": 25, "methods": ["deepcache", "tome"]},
            out="hasten-out/bounds",
        )

    Returns:
        the cells with their answers, in order.
    """
    cells = matrix_of(matrix).tasks()
    factor = checked({"margin": margin})["margin"]
    return in_order(explore_tasks(cells, batch_of(out, choices, devices, tell), factor))


def generate(
    requests: str | Task | Sequence[str | Task | Request],
    *,
    out: str | Path,
    devices: Sequence[str] = (AUTO,),
    tell: Tell | None = None,
    how: Generation | None = None,
    **choices: Unpack[ScriptChoices],
) -> list[BatchAnswer]:
    """Answers every request, with a script where there is a plan. A failure is an entry and never stops the rest.

    Each answer is written to ``generation_report.json`` and ``manifest.json`` in ``out`` as soon as it is known.
    ``runtime``, ``verify`` and ``allow_known_wrong`` are those of ``run``, in the place of what ``how`` says.

    Returns:
        the requests with their answers, in order.
    """
    wanted = values.several("requests", requests, (str, Task, Request), "a sentence or a Task")
    listed = [request_of(request, number) for number, request in enumerate(wanted, 1)]
    how, searched = generation_of(how, choices)
    return in_order(how.run(listed, batch_of(out, searched, devices, tell)))


def run_matrix(
    matrix: Matrix | Mapping[str, Any],
    *,
    out: str | Path,
    devices: Sequence[str] = (AUTO,),
    tell: Tell | None = None,
    how: Generation | None = None,
    **choices: Unpack[ScriptChoices],
) -> tuple[list[BatchAnswer], list[BatchAnswer]]:
    """Finds the bounds of a matrix, makes tasks from them and answers each: ``explore``, then ``generate``."""
    how, searched = generation_of(how, choices)
    return all_stages(matrix_of(matrix), how, batch_of(out, searched, devices, tell))


def profile(
    request: str | Task,
    *,
    plan: str | Plan = "",
    batch_sizes: Sequence[int] = BATCH_SIZES,
    fresh: int = 1,
    progress: Callable[[str], None] | None = None,
    **choices: Unpack[Choices],
) -> Profile:
    """Measures how a call spends its time, cold and warm, and what larger batches gain, for baseline and plan.

    Args:
        request: a plain request: a model, a scheduler, a number of steps.
        plan: a plan or its text; an empty plan profiles the baseline alone.
        batch_sizes: the measured numbers of images a call, instead of the choice ``batch_size``.
        fresh: how many first calls of baseline and plan are measured, each in a process of its own.
        progress: is called with a short text as the work goes on.
        choices: pairs, device, dtype, height, width, guidance_scale, prompts, seed, confidence, as in ``run``.

    Raises:
        InputError: the request, the plan or a number cannot be used.
    """
    values.function("progress", progress)
    options, place = split(choices)
    wanted = plan_of(plan)
    return profiled(
        task_of(request),
        wanted,
        place,
        batch_sizes=batch_sizes,
        pairs=options.pairs,
        fresh=fresh,
        report=progress,
    )


def compare(
    request: str | Task,
    plans: str | Plan | Sequence[str | Plan],
    *,
    metrics: Sequence[str] = METRIC_NAMES,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Comparison:
    """Measures given plans as verdicts are measured: on the same held-out prompts, each with its equal-time
    baseline. A later call continues where this one was stopped.

    Args:
        request: a plain request: a model, a scheduler, a number of steps.
        plans: the plans, or their texts.
        metrics: the metrics whose losses are measured.
        progress: is called with a ``Progress`` as the work goes on.
        choices: num_samples, pairs, storage, confidence, seed, and the choices of the place, as in ``run``.

    Raises:
        InputError: the request, a plan, a metric or a number cannot be used. Nothing was measured.
    """
    values.function("progress", progress)
    options, place = split(choices)
    listed = values.several("plans", plans, (str, Plan, Mapping), "a plan or its text")
    wanted = [plan_of(plan) for plan in listed]
    return compared(task_of(request), wanted, place, options, metrics=metrics, report=progress)


def tune(
    pipe: Any,
    *,
    steps: int | None = None,
    speedup: float | None = None,
    latency_s: float | str | None = None,
    latency: float | str | None = None,
    max_loss: float | Mapping[str, float] = 0.02,
    two_sided: bool = False,
    methods: str | Sequence[str] | None = None,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """Finds the fastest plan for your pipeline, or a plan that meets a target. The pipeline stays as it was.

    Example::

        result = hasten.tune(pipe, steps=25, speedup=2.0, max_loss=0.02, methods=["deepcache", "tome"])
        with hasten.accelerate(pipe, result.plan):
            image = pipe("a strawberry on a blue background", num_inference_steps=25).images[0]

    Args:
        pipe: a diffusers pipeline, on its device.
        steps: denoising steps of a call; None: the usual number of its model, else the default of its call.
        speedup: the least speedup. Without it and ``latency_s``, the highest speedup is searched.
        latency_s: the most time an image may take, in seconds or as ``1.3s``; also ``latency``. At most one of it
            and ``speedup`` may be given.
        max_loss: the limit of the relative loss of the CLIP score, or limits by metric.
        two_sided: whether a score that rises by as much is over the limit too.
        methods: names of methods that are used together; None for any that support the pipeline.
        progress, choices: as in ``run``.

    Returns:
        The answer. Its ``plan`` is what ``accelerate`` takes.

    Raises:
        InputError: the pipeline, a name or a number cannot be used. Nothing was measured.
    """
    check_pipeline(pipe)
    given = checked({"steps": steps, "speedup": speedup, "latency_s": latency_s, "latency": latency})
    given |= checked({"max_loss": max_loss, "two_sided": two_sided, "methods": methods})
    target_of(given["speedup"], given["latency_s"])
    values.function("progress", progress)
    options, place = split(choices, beside=given)
    pipeline = pipeline_in(pipe, given.pop("steps"), place)
    task = task_for(pipeline.setting, **given)
    check_task(task, pipe)
    with bench_around(pipeline, place) as bench:
        return answer_of(task, run_search(bench, task, options, progress))


def accelerate(pipe: Any, plan: str | Plan | Mapping[str, Any], steps: int | None = None) -> Handle:
    """Installs a plan on the pipeline, until the ``with`` block ends or the handle's ``.remove()`` is called.

    Example::

        handle = hasten.accelerate(pipe, "deepcache(cache_interval=3)+tome(ratio=0.5)")
        image = pipe("a strawberry on a blue background").images[0]
        handle.remove()

    Args:
        pipe: a diffusers pipeline. Other pipelines that share its denoiser are accelerated as well.
        plan: a plan, its text, or ``{"deepcache": {"cache_interval": 3}}``. Omitted parameters have their
            defaults.
        steps: denoising steps of a call, where known: the parameters are then checked against it.

    Raises:
        InputError: the method is unknown, a parameter is illegal, or the model cannot take the method. Nothing was
            changed.
    """
    from hasten.methods import apply  # needs torch, which the parent process of a batch does not import

    check_pipeline(pipe)
    return apply(pipe, plan, steps=checked({"steps": steps})["steps"])


def __getattr__(name: str) -> Any:
    """Loads names of modules that import torch when they are first used."""
    if name not in ("Handle", "MethodStats"):
        raise AttributeError(f"module 'hasten.api' has no attribute {name!r}")
    import hasten.methods

    return getattr(hasten.methods, name)
