"""Finds the upper bounds of a matrix of settings, sets of methods and limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from hasten.answer import Answer
from hasten.language.render import render
from hasten.script.write import script_name
from hasten.store.seeds.bounds import Bounds, check_margin
from hasten.store.seeds.search_params import SearchParams
from hasten.task import Task
from hasten.workflow.batch import Batch, BatchAnswer, BatchEntry

BOUNDS, PARAMS = "speedup_bounds.json", "search_params.json"


def explore(tasks: Sequence[Task], batch: Batch, margin: float = 1.0) -> Iterator[BatchAnswer]:
    """Yields the upper bound of each task as they come.

    Each one is in the batch folder's ``speedup_bounds.json`` and, with its plan, in ``search_params.json`` as soon
    as it is known. Failures are entries with their reason. Written bounds are multiplied by ``margin``; the
    original used 1.1.

    Raises:
        InputError: the margin is not positive and finite, or one of the two files cannot be added to.
    """
    check_margin(margin)
    check_files(batch.folder)
    named = ((number, Path(script_name(task)).stem, task) for number, task in enumerate(tasks, 1))
    entries = [BatchEntry(name, render(task), task, number=number) for number, name, task in named]
    with closing(batch.answer_all("explore", entries)) as answers:
        for found in answers:
            if found.answer:
                keep(found.answer, batch.folder, margin)
            yield found


def check_files(folder: Path) -> None:
    """Raises InputError where the original's two files in the folder cannot be added to, before hours of
    searching."""
    for table, name in ((Bounds, BOUNDS), (SearchParams, PARAMS)):
        if (folder / name).exists() and (folder / name).stat().st_size:
            table.read(folder / name)


def keep(answer: Answer, folder: Path, margin: float = 1.0) -> None:
    """Adds an answer to the original's two files in the folder."""
    bounds, params = Bounds(), SearchParams()
    if answer.task.mode == "bound" and not (answer.task.own_setting or answer.task.chooses):
        bounds.add(answer, margin, answer.complete)
        bounds.merge_into(folder / BOUNDS)
    if params.add(answer):
        params.merge_into(folder / PARAMS)
