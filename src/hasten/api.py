"""The whole story on one screen: ``run`` a request, ``tune`` a pipeline you have, ``accelerate`` it by a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hasten.measure.profile import BATCH_SIZES, Profile
from hasten.measure.trials import METRIC_NAMES
from hasten.plan import Plan
from hasten.records import Answer
from hasten.search import Progress, run_search
from hasten.store.seeds.tasks_file import Request
from hasten.task import Task
from hasten.workflow.answering import answered
from hasten.workflow.answers import answer_of
from hasten.workflow.batch import Settled, Tell, batch_of, in_order
from hasten.workflow.choices import Choices, split
from hasten.workflow.comparing import Comparison, compared
from hasten.workflow.delivery import Delivery, command_of
from hasten.workflow.explore import check_files, keep
from hasten.workflow.explore import explore as explore_tasks
from hasten.workflow.folder import check_folder, folder_of
from hasten.workflow.generate import Generation, request_of
from hasten.workflow.jobs import AUTO
from hasten.workflow.matrix import Matrix
from hasten.workflow.matrix import run_matrix as all_stages
from hasten.workflow.opening import bench_of, task_for, task_of
from hasten.workflow.profiling import profiled

if TYPE_CHECKING:
    from hasten.methods import Handle
    from hasten.script.claim import Runtime

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
    """One request in, one answer out, with a script (when met or likely) and a report in the folder ``out``.

    Args:
        request: a sentence, or a task.
        out: the folder; by default ``hasten-out`` and a name that tells the task.
        runtime: what the script calls: ``hasten``, or the ``upstream`` packages.
        allow_known_wrong: write upstream scripts that are known to go wrong, with a warning in them.
        verify: measure the script again in a fresh process; a claim that does not hold there is not *met*.
        command: what the script and the report name as the way to get the same again.
        progress: is told where the search stands.
        choices: strategy, preference, budgets, where trials are kept, device, dtype, batch size, resolution,
            guidance, scorer, prompts, seed: see ``hasten.workflow.choices``.

    Raises:
        InputError: the request cannot be used; nothing was written, nothing measured.
        KeyboardInterrupt: all finished trials are kept, the same call goes on from there.
    """
    options, place = split(choices)
    task = task_of(request)
    words = request if isinstance(request, str) else None
    delivery = Delivery(
        folder=folder_of(task, out),
        runtime=runtime,
        command=command or command_of(words or task),
        request=words,
        seed=place.seed,
        allow_known_wrong=allow_known_wrong,
        verify=verify,
    )
    return answered(task, place, options, progress, delivery)


def search(
    request: str | Task,
    *,
    out: str | Path | None = None,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """As ``run``, without script and report: only the store of trials is written.

    The answer also joins ``search_params.json`` and, of an upper bound, ``speedup_bounds.json`` in the folder
    ``out``, where that is given.
    """
    options, place = split(choices)
    if out is not None:
        check_folder(Path(out).absolute())
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
) -> list[Settled]:
    """The upper bound of every cell of a matrix: see ``hasten.workflow.matrix``. Goes on where it was stopped.

    ``speedup_bounds.json`` and ``search_params.json`` in the folder ``out`` have each the moment it is known.

    Returns:
        the cells with their answers, in order.
    """
    cells = (matrix if isinstance(matrix, Matrix) else Matrix.of(**matrix)).tasks()
    return in_order(explore_tasks(cells, batch_of(out, choices, devices, tell), margin))


def generate(
    requests: Sequence[str | Task | Request],
    *,
    out: str | Path,
    devices: Sequence[str] = (AUTO,),
    tell: Tell | None = None,
    how: Generation | None = None,
    **choices: Unpack[Choices],
) -> list[Settled]:
    """A script for every request, as far as there is one; a failure never stops the rest, and is an entry.

    ``generation_report.json`` and ``manifest.json`` in the folder ``out`` have each the moment it is known.

    Returns:
        the requests with their answers, in order.
    """
    listed = [request_of(request, number) for number, request in enumerate(requests, 1)]
    how = replace(how or Generation(), place=split(choices)[1])
    return in_order(how.run(listed, batch_of(out, choices, devices, tell)))


def run_matrix(
    matrix: Matrix | Mapping[str, Any],
    *,
    out: str | Path,
    devices: Sequence[str] = (AUTO,),
    tell: Tell | None = None,
    how: Generation | None = None,
    **choices: Unpack[Choices],
) -> tuple[list[Settled], list[Settled]]:
    """Bounds of a matrix, the tasks that follow from them, and their scripts: ``explore``, then ``generate``."""
    cells = matrix if isinstance(matrix, Matrix) else Matrix.of(**matrix)
    how = replace(how or Generation(), place=split(choices)[1])
    return all_stages(cells, how, batch_of(out, choices, devices, tell))


def profile(
    request: str | Task,
    *,
    plan: str | Plan = "",
    batch_sizes: Sequence[int] = BATCH_SIZES,
    fresh: int = 1,
    progress: Callable[[str], None] | None = None,
    **choices: Unpack[Choices],
) -> Profile:
    """Where a call's time goes, cold and warm, and what larger batches give; of a plan beside its baseline, too.

    Args:
        request: a plain one: a model, a scheduler, a number of steps.
        plan: its text, or a plan; none: the baseline alone.
        batch_sizes: images of a call, instead of the choice ``batch_size``.
        fresh: first calls of each that are measured, each in a process of its own.
        progress: is told what goes on, a few words at a time.
        choices: pairs, device, dtype, height, width, guidance_scale, prompts, seed, confidence, as in ``run``.

    Raises:
        InputError: the request, the plan or a number cannot be used.
    """
    options, place = split(choices)
    wanted = Plan.parse(plan) if isinstance(plan, str) else plan
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
    plans: Sequence[str | Plan],
    *,
    metrics: Sequence[str] = METRIC_NAMES,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Comparison:
    """Given plans side by side, measured as verdicts are, on the same held-out prompts; each with its equal-time
    baseline. Goes on where it was stopped.

    Args:
        request: a plain one: a model, a scheduler, a number of steps.
        plans: their texts, or plans.
        metrics: whose losses are told.
        progress: is told which plan is being measured.
        choices: num_samples, pairs, storage, confidence, seed, and those of the place, as in ``run``.

    Raises:
        InputError: the request, a plan, a metric or a number cannot be used; nothing was measured.
    """
    options, place = split(choices)
    wanted = [Plan.parse(plan) if isinstance(plan, str) else plan for plan in plans]
    return compared(task_of(request), wanted, place, options, metrics=metrics, report=progress)


def tune(
    pipe: Any,
    *,
    steps: int,
    speedup: float | None = None,
    latency_s: float | None = None,
    max_loss: float | Mapping[str, float] = 0.02,
    two_sided: bool = False,
    methods: Sequence[str] | None = None,
    progress: Report | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """The fastest plan of a pipeline that you have, or one that meets a target; the pipeline is left as it was.

    Args:
        pipe: a diffusers pipeline, on its device.
        steps: denoising steps of a call.
        speedup, latency_s: the target, at most one of them; none: the highest speedup. Seconds an image.
        max_loss: the limit of the relative CLIP score loss, or limits by metric.
        two_sided: a rise of as much is over the limit too.
        methods: names, used all together; None: any that support the pipeline.
        progress, choices: as in ``run``.

    Returns:
        The answer; its ``plan`` is what ``accelerate`` takes.
    """
    options, place = split(choices)
    with bench_of(pipe, steps, place) as bench:
        task = task_for(bench.setting, methods, speedup, latency_s, max_loss, two_sided)
        return answer_of(task, run_search(bench, task, options, progress))


def accelerate(pipe: Any, plan: str | Plan | Mapping[str, Any], steps: int | None = None) -> Handle:
    """Puts a plan on the pipeline. A context manager; or call ``.remove()`` on what it returns.

    Raises:
        InputError: unknown method, illegal parameter, or a model that cannot take it; nothing was changed.
    """
    from hasten.methods import apply  # needs torch, which the parent of a batch does without

    return apply(pipe, plan, steps=steps)
