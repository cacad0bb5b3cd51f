"""Profiles a setting: opens its bench, times warm calls, and then first calls in fresh processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hasten.errors import InputError
from hasten.measure.failures import free_memory
from hasten.measure.first_call import first_calls
from hasten.measure.profile import Profile, Report, checked_sizes, profile
from hasten.plan import Plan
from hasten.task import Task
from hasten.workflow.checks import check_plans
from hasten.workflow.opening import model_of, open_bench, require_plain
from hasten.workflow.place import Place


def profiled(
    task: Task,
    plan: Plan,
    place: Place,
    *,
    batch_sizes: Sequence[int],
    pairs: int,
    fresh: int,
    report: Report | None = None,
) -> Profile:
    """Returns the profile of a plain task's setting, with ``fresh`` first calls of baseline and plan each.

    First calls come last, when nothing is held on the device any more and the model's files are in the system's
    cache for all of them.

    Raises:
        InputError: the task names methods, or the model, the plan or a number cannot be used.
        MeasurementError: a call failed for another reason than memory.
    """
    require_plain(task, "plan")
    check_plans(task, [plan])
    if fresh < 0:
        raise InputError(f"The number of first calls is {fresh}: allowed is 0 or more.")
    place = replace(place, batch_size=checked_sizes(batch_sizes)[0])
    with open_bench(task, model_of(task, place), place) as bench:
        found = profile(bench, plan, batch_sizes=batch_sizes, pairs=pairs, report=report)
        prompts, threads = bench.pipeline.prompts, int(bench.environment["threads"])
    if found.batch_sizes[0].reason:
        return found
    del bench
    free_memory()
    plans = [Plan(), Plan.parse(found.plan)] if plan else [Plan()]
    how: dict[str, Any] = {"times": fresh, "seed": place.seed, "threads": threads, "report": report}
    first = first_calls(found.setting, plans, prompts, **how)
    return found.model_copy(update={"first_calls": tuple(first)})
