"""Answers many requests: ``explore`` finds upper bounds, ``generate`` writes scripts, ``run_matrix`` does both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from hasten.options import checked, values
from hasten.store.seeds.tasks_file import Request
from hasten.task import Task
from hasten.workflow.batch import BatchAnswer, Tell, batch_of, in_order
from hasten.workflow.choices import Choices, ScriptChoices
from hasten.workflow.explore import explore as explore_tasks
from hasten.workflow.generate import Generation, generation_of, request_of
from hasten.workflow.jobs import AUTO
from hasten.workflow.matrix import Matrix, matrix_of
from hasten.workflow.matrix import run_matrix as all_stages


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
