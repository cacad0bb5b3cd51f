"""One task from the bench to the fresh process: what a single request and every task of a batch go through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hasten.measure.bench import Bench
from hasten.plan import Plan
from hasten.records import Answer
from hasten.search import SearchOptions, SearchResult, run_search
from hasten.task import Task
from hasten.workflow.answers import answer_of
from hasten.workflow.delivery import Delivery, Listener
from hasten.workflow.opening import Place, model_of, open_bench

Search = Callable[[Bench, Task, SearchOptions, Listener | None], SearchResult]


def answered(
    task: Task,
    place: Place,
    options: SearchOptions,
    progress: Listener | None = None,
    delivery: Delivery | None = None,
    search: Search = run_search,
) -> Answer:
    """Opens the bench, searches, and hands over what ``delivery`` asks for: without it only the store is written.

    Raises:
        InputError: the request cannot be used; nothing was written, nothing measured.
    """
    model = model_of(task, place)
    with open_bench(task, model, place) as bench:
        if delivery:
            delivery.check(task, model, bench)
        found = search(bench, task, options, progress)
        answer = answer_of(task, found)
        if delivery:
            answer = delivery.write(answer, found.trials, model, bench, progress)
        setting, here = bench.setting, bench.environment
    if delivery is None:
        return answer
    again = partial(delivery.script, setting=setting, model=model, environment=here)
    return delivery.finish(answer, again, options, setting.batch_size, progress)


def known_first(candidate: Plan, explore: bool) -> Search:
    """A search that takes a plan that is known from elsewhere, where it holds here, before it looks for others.

    Args:
        candidate: the plan; the empty one for none.
        explore: find the upper bound before the target, where it is not known: what is over it needs no search.
    """

    def search(bench: Bench, task: Task, options: SearchOptions, progress: Listener | None) -> SearchResult:
        if candidate and task.target and options.prefer == "first":
            alone = task.of_plan(candidate.parameters, candidate.methods)
            found = run_search(bench, alone, options, progress)
            if found.status in ("met", "likely"):
                return found
        if explore and task.mode == "target" and not task.parameters:
            run_search(bench, task.model_copy(update={"target": None}), options, progress)
        return run_search(bench, task, options, progress)

    return search
