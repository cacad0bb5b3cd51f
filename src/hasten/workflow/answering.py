"""Answers one task, from the bench to the fresh process, for single requests and for batches alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hasten.answer import Answer
from hasten.measure.bench import Bench
from hasten.measure.failures import free_memory
from hasten.measure.stuck import spent_before_s
from hasten.plan import Plan
from hasten.search import Listener, SearchOptions, SearchResult, run_search
from hasten.store.driver import check_storage
from hasten.store.memory import one_memory
from hasten.task import Task
from hasten.workflow.answers import answer_of
from hasten.workflow.delivery import Delivery
from hasten.workflow.opening import model_of, open_bench
from hasten.workflow.place import Place

EXPLORING = 0.5
"""The largest share of a target's time that the search for its upper bound gets."""
Search = Callable[[Bench, Task, SearchOptions, Listener | None], SearchResult]
"""A search of a task on a bench."""


def answered(
    task: Task,
    place: Place,
    options: SearchOptions,
    progress: Listener | None = None,
    delivery: Delivery | None = None,
    search: Search = run_search,
) -> Answer:
    """Opens the bench, searches, and delivers what ``delivery`` asks for. Without it, only the store is written.

    Args:
        task: the task.
        place: where to measure.
        options: the options of the search.
        progress: called with the state of the search.
        delivery: what is written, and where.
        search: the search.

    Raises:
        InputError: the request cannot be used. Nothing was written or measured then.
    """
    options = replace(options, spent_s=options.spent_s + spent_before_s())
    model = model_of(task, place)
    check_storage(options.storage)
    if delivery:
        delivery.check_first(task, model)
    with one_memory(), open_bench(task, model, place) as bench:
        if delivery:
            delivery.check(task, model, bench)
        began, verified = time.monotonic(), delivery is not None and delivery.verify
        found = search(bench, task, replace(options, verified=verified), progress)
        answer = answer_of(task, found)
        if delivery:
            answer = delivery.write(answer, found.trials, model, bench, progress)
        setting, here = bench.setting, bench.environment
    if delivery is None:
        return answer
    del bench  # frees the device's memory for the processes that measure the script
    free_memory()
    again = partial(delivery.script, setting=setting, model=model, environment=here)
    spent = replace(options, spent_s=options.spent_s + time.monotonic() - began)
    return delivery.finish(answer, again, spent, setting.batch_size, progress)


def known_first(candidate: Plan, explore: bool) -> Search:
    """Returns a search that tries a plan known from elsewhere before it looks for others.

    Args:
        candidate: the plan; the empty plan for none.
        explore: whether the upper bound, where it is not known, is searched for before the target. Targets above
            it then need no search.
    """

    def search(bench: Bench, task: Task, options: SearchOptions, progress: Listener | None) -> SearchResult:
        began = time.monotonic()
        if candidate and task.target and options.prefer == "first":
            alone = task.of_plan(candidate.parameters, candidate.methods)
            found = run_search(bench, alone, options, progress)
            if found.status in ("met", "likely"):
                return found
        if explore and task.mode == "target" and not task.parameters:
            of_bound = replace(_with_time_left(options, began, EXPLORING), verified=False)
            run_search(bench, task.model_copy(update={"target": None}), of_bound, progress)
        return run_search(bench, task, _with_time_left(options, began), progress)

    return search


def _with_time_left(options: SearchOptions, began: float, share: float = 1.0) -> SearchOptions:
    """Returns the options with a share of the remaining time. Without any left, a search takes one trial and a
    verdict."""
    if options.max_time_s is None:
        return options
    left_s = max(0.0, options.max_time_s - (time.monotonic() - began))
    return replace(options, spent_s=options.max_time_s - share * left_s)
