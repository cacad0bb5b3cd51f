"""Upper bounds of a matrix of settings, sets of methods and limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hasten.language.render import render
from hasten.records import Answer
from hasten.script.write import script_name
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.search_params import SearchParams
from hasten.task import Task
from hasten.workflow.batch import Batch, Settled, Wanted

BOUNDS, PARAMS = "speedup_bounds.json", "search_params.json"


def explore(tasks: Sequence[Task], batch: Batch, margin: float = 1.0) -> Iterator[Settled]:
    """The upper bound of each task, as they come; each is in ``speedup_bounds.json`` and, with its plan, in
    ``search_params.json`` of the batch's folder the moment it is known. Failures are entries with their reason.

    ``margin`` multiplies what is written as a bound; the original took 1.1.
    """
    entries = [Wanted(Path(script_name(task)).stem, render(task), task) for task in tasks]
    for found in batch.settle("explore", entries):
        if found.answer:
            keep(found.answer, batch.folder, margin)
        yield found


def keep(answer: Answer, folder: Path, margin: float = 1.0) -> None:
    """Adds an answer to the original's two files in the folder."""
    bounds, params = Bounds(), SearchParams()
    if answer.task.mode == "bound":
        bounds.add(answer, margin, answer.complete)
        bounds.merge_into(folder / BOUNDS)
    if params.add(answer):
        params.merge_into(folder / PARAMS)
