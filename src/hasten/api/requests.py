"""Answers one request, or measures what it names: ``run``, ``search``, ``compare``, ``profile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from hasten.answer import Answer
from hasten.measure.contract import METRIC_NAMES
from hasten.measure.profile import BATCH_SIZES, Profile
from hasten.options import checked, values
from hasten.plan import Plan, plan_of
from hasten.search import Listener
from hasten.task import Task
from hasten.workflow.answering import answered
from hasten.workflow.choices import Choices, asked
from hasten.workflow.comparing import Comparison, compared
from hasten.workflow.delivery import Delivery, command_of
from hasten.workflow.explore import check_files, keep
from hasten.workflow.folder import check_folder, folder_of
from hasten.workflow.opening import listed_prompts, task_of
from hasten.workflow.profiling import profiled

if TYPE_CHECKING:
    from hasten.script.claim import Runtime


def run(
    request: str | Task,
    *,
    out: str | Path | None = None,
    runtime: Runtime = "hasten",
    allow_known_wrong: bool = False,
    verify: bool = True,
    command: str | None = None,
    progress: Listener | None = None,
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
    given = checked({"runtime": runtime, "verify": verify, "allow_known_wrong": allow_known_wrong})
    options, place = asked("run", choices, progress)
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
    progress: Listener | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """Answers a request like ``run``, but writes no script and no report, only the store of trials.

    Where ``out`` is given, the answer is added to ``search_params.json`` in that folder, and an upper bound also
    to ``speedup_bounds.json``.
    """
    options, place = asked("search", choices, progress)
    if out is not None:
        check_folder(Path(values.path("out", out)).absolute())
        check_files(Path(out))
    answer = answered(task_of(request), place, options, progress)
    if out is not None:
        keep(answer, Path(out))
    return answer


def compare(
    request: str | Task,
    plans: str | Plan | Sequence[str | Plan],
    *,
    metrics: Sequence[str] = METRIC_NAMES,
    progress: Listener | None = None,
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
    options, place = asked("compare", choices, progress)
    listed = values.several("plans", plans, (str, Plan, Mapping), "a plan or its text")
    wanted = [plan_of(plan) for plan in listed]
    return compared(task_of(request), wanted, place, options, metrics=metrics, report=progress)


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
    options, place = asked("profile", choices, progress)
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
