"""A matrix of settings, and its three stages: bounds, the tasks that follow from them, and their scripts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hasten.errors import InputError, UnknownNameError
from hasten.files import folder_at
from hasten.models import assumed_scheduler, assumed_steps, find_model, usual_scheduler, usual_steps
from hasten.script.write import script_name
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.tasks_file import Request, write_requests
from hasten.task import DEFAULT_MAX_LOSS, Task
from hasten.texts import shortened
from hasten.workflow._yaml import read_yaml
from hasten.workflow.batch import Batch, BatchAnswer, in_order
from hasten.workflow.explore import explore
from hasten.workflow.generate import Generation
from hasten.workflow.opening import task_of
from hasten.workflow.tasks import DIFFICULTY, RATIOS, MadeRequest, tasks_from_bounds

TASKS = "tasks.json"


class Matrix(BaseModel):
    """All combinations of models, schedulers, numbers of steps, sets of methods and limits. A single value may
    stand alone.

    Example:
        >>> Matrix.of(models="emoji-sd", schedulers=["DDIM", "UniPC"], steps=[20, 25], methods=["tome", "any"])

    Attributes:
        models: names, or folders in diffusers layout.
        schedulers: diffusion schedulers. By default it is the one of each model's own pipeline.
        steps: numbers of denoising steps. By default it is the one of each model's own pipeline.
        methods: sets of methods, each as comma-separated text, a list of names, or ``any``, the default.
        max_loss: limits of the loss, each a number, for the CLIP score, or limits by metric.
        two_sided: whether the limits apply to a score that rises as well.
        ratios: the shares of each bound's gain that the resulting tasks ask for.
        difficulty: whether an easy, a medium and a hard task are made instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    models: list[str] = Field(min_length=1)
    schedulers: list[str | None] = Field(default=[None], min_length=1)
    steps: list[int | None] = Field(default=[None], min_length=1)
    methods: list[str | list[str]] = Field(default=["any"], min_length=1)
    max_loss: list[float | dict[str, float]] = [DEFAULT_MAX_LOSS]
    two_sided: bool = False
    ratios: list[float] = list(RATIOS)
    difficulty: bool = False

    @field_validator("models", "schedulers", "steps", "methods", "max_loss", "ratios", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    @classmethod
    def read(cls, path: str | Path) -> Matrix:
        """Returns the matrix of a YAML or JSON file. Raises InputError with every fault in it."""
        data = read_yaml(path)
        if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
            raise InputError(
                f"{path} is no matrix: it needs models, a list of them; the other lists may be left out."
            )
        return cls.of(**data)

    @classmethod
    def of(cls, **data: Any) -> Matrix:
        """Returns a checked matrix. Raises InputError with every fault."""
        if unknown := sorted(data.keys() - cls.model_fields.keys()):
            raise UnknownNameError("key of a matrix", unknown[0], cls.model_fields)
        try:
            made = cls(**data)
        except ValidationError as error:
            faults = {e["loc"][:2]: _fault(e) for e in reversed(error.errors())}
            raise InputError(f"Not a matrix: {'; '.join(reversed(faults.values()))}.") from None
        if made.difficulty and "ratios" in data:
            raise InputError("A matrix has ratios or difficulty, not both.")
        tasks_from_bounds(Bounds(), made.shares)  # raises errors in the shares now, not after hours of exploring
        return made

    def tasks(self) -> list[Task]:
        """Returns one task without target for each combination, each once.

        Raises:
            InputError: a name is unknown, or a number is impossible.
        """
        cells = itertools.product(self.models, self.schedulers, self.steps, self.methods, self.max_loss)
        tasks = (_task(*cell, two_sided=self.two_sided) for cell in cells)
        return list({script_name(task): task for task in tasks}.values())

    @property
    def shares(self) -> Sequence[float] | Mapping[str, float]:
        """The shares of the bounds that the tasks ask for, in the form that ``tasks_from_bounds`` takes."""
        return DIFFICULTY if self.difficulty else self.ratios


def matrix_of(given: Matrix | Mapping[str, Any] | str | Path) -> Matrix:
    """Returns a matrix, given as one, as a mapping of its fields, or as a file. Raises InputError."""
    if isinstance(given, Matrix):
        return given
    if isinstance(given, str | Path):
        return Matrix.read(given)
    if not isinstance(given, Mapping):
        raise InputError(f"{given!r} is no matrix: give its fields, such as {{'models': ['SDXL']}}, or its file.")
    return Matrix.of(**given)


def run_matrix(
    matrix: Matrix, generation: Generation, batch: Batch
) -> tuple[list[BatchAnswer], list[BatchAnswer]]:
    """Explores the bounds, writes the resulting tasks to ``tasks.json`` in the batch's folder, and generates their
    scripts.

    Returns:
        the bounds and the tasks, each with its answer.
    """
    explored = in_order(explore(matrix.tasks(), batch))
    bounds = Bounds()
    for found in explored:
        if found.answer:
            bounds.add(found.answer, complete=found.answer.complete)
    made = tasks_from_bounds(bounds, matrix.shares).made
    write_requests(batch.folder / TASKS, [one.to_json() for one in made])
    requests = [_request(number, one) for number, one in enumerate(made, 1)]
    return explored, in_order(replace(generation, bounds=bounds).run(requests, batch))


def _fault(error: Any) -> str:
    name = error["loc"][0]
    match error["type"]:
        case "missing":
            return f"{name} is missing"
        case "too_short":
            return f"{name} is an empty list"
    return f"{name} has {shortened(repr(error['input']), 200)}: {error['msg']}"


def _request(number: int, made: MadeRequest) -> Request:
    labels = {name: value for name, value in made.to_json().items() if name not in ("request", "task")}
    return Request(made.request, made.task, "", f"{TASKS} entry {number}", labels)


def _task(
    name: str,
    scheduler: str | None,
    steps: int | None,
    methods: str | list[str],
    limit: float | dict[str, float],
    two_sided: bool,
) -> Task:
    model = name if folder_at(name) else find_model(name)[1].name
    assumed = [assumed_steps(model)] * (steps is None) + [assumed_scheduler(model)] * (scheduler is None)
    names = methods.split(",") if isinstance(methods, str) else methods
    return task_of(
        Task.from_json(
            {
                "model": model,
                "scheduler": usual_scheduler(model) if scheduler is None else scheduler,
                "steps": usual_steps(model) if steps is None else steps,
                "methods": None if methods == "any" else [name.strip() for name in names],
                "max_loss": limit if isinstance(limit, dict) else {"clip_score": limit},
                "two_sided": two_sided,
                "assumptions": assumed,
            }
        )
    )
