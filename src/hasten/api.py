"""The whole story on one screen: ``run`` a request, ``tune`` a pipeline you have, ``accelerate`` it by a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hasten.methods import apply
from hasten.plan import Plan
from hasten.records import Answer
from hasten.search import Progress, run_search
from hasten.task import Task
from hasten.workflow.answers import answer_of
from hasten.workflow.choices import Choices, split
from hasten.workflow.delivery import Delivery, command_of
from hasten.workflow.folder import folder_of
from hasten.workflow.opening import bench_of, model_of, open_bench, task_for, task_of

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
    model, folder = model_of(task, place), folder_of(task, out)
    words = request if isinstance(request, str) else None
    delivery = Delivery(
        folder, runtime, command or command_of(words or task), words, place.seed, allow_known_wrong
    )
    with open_bench(task, model, place) as bench:
        delivery.check(task, model, bench)
        found = run_search(bench, task, options, progress)
        answer = delivery.write(answer_of(task, found), found.trials, model, bench, progress)
    return delivery.finish(answer, verify, options, progress)


def search(request: str | Task, *, progress: Report | None = None, **choices: Unpack[Choices]) -> Answer:
    """As ``run``, without script and report: only the store of trials is written."""
    options, place = split(choices)
    task = task_of(request)
    with open_bench(task, model_of(task, place), place) as bench:
        return answer_of(task, run_search(bench, task, options, progress))


def tune(
    pipe: Any,
    *,
    steps: int,
    speedup: float | None = None,
    latency_s: float | None = None,
    max_loss: float | Mapping[str, float] = 0.02,
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
        methods: names, used all together; None: any that support the pipeline.
        progress, choices: as in ``run``.

    Returns:
        The answer; its ``plan`` is what ``accelerate`` takes.
    """
    options, place = split(choices)
    with bench_of(pipe, steps, place) as bench:
        task = task_for(bench.setting, methods, speedup, latency_s, max_loss)
        return answer_of(task, run_search(bench, task, options, progress))


def accelerate(pipe: Any, plan: str | Plan | Mapping[str, Any], steps: int | None = None) -> Handle:
    """Puts a plan on the pipeline. A context manager; or call ``.remove()`` on what it returns.

    Raises:
        InputError: unknown method, illegal parameter, or a model that cannot take it; nothing was changed.
    """
    return apply(pipe, plan, steps=steps)
