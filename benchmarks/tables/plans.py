"""What is recorded: the settings, their tables, and the plans of a table, drawn from hasten's own spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hasten.errors import InputError, UnknownNameError
from hasten.methods import METHODS
from hasten.models import find_model, load_pipeline
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.schedulers import find_scheduler
from hasten.task import Setting

MODEL = "emoji-sd"
SETTINGS = ("DDIM 25", "DPM-Solver++ 20")
FEWER_STEPS = "fewer-steps"
"""The plain pipeline at every number of steps up to the setting's: what the equal-time baseline is found among."""
TABLES = (
    FEWER_STEPS,
    "deepcache",
    "tome",
    "deepcache,tome",
    "tgate",
    "deepcache,tgate",
    "deepcache,tgate,tome",
)


class Row(NamedTuple):
    """One row of a table: a plan's canonical text and the number of steps that it is run with."""

    plan: str
    steps: int


def scheduler_and_steps(setting: str) -> tuple[str, int]:
    """``DPM-Solver++ 20`` → the scheduler's canonical name and the steps.

    Raises:
        InputError: not a scheduler and a number of steps.
    """
    scheduler, _, steps = setting.strip().rpartition(" ")
    if not scheduler or not re.fullmatch(r"[1-9]\d*", steps):
        raise InputError(f"{setting!r} is no setting: write a scheduler and its steps, e.g. {SETTINGS[0]!r}.")
    return find_scheduler(scheduler).name, int(steps)


def canonical_setting(setting: str) -> str:
    """``dpm++ 20`` → ``DPM-Solver++ 20``. Raises InputError."""
    scheduler, steps = scheduler_and_steps(setting)
    return f"{scheduler} {steps}"


def setting_of(setting: str, *, device: str = "cpu", dtype: str = "float32", batch_size: int = 1) -> Setting:
    """The setting of emoji-sd that the text names."""
    (scheduler, steps), (_, model) = scheduler_and_steps(setting), find_model(MODEL)
    side = model.resolution
    return Setting(MODEL, scheduler, steps, side, side, model.guidance_scale, batch_size, dtype, device)


def canonical(table: str | Sequence[str]) -> str:
    """A table's name, its methods in order: ``tome, deepcache`` → ``deepcache,tome``. Raises UnknownNameError."""
    names = table.split(",") if isinstance(table, str) else list(table)
    names = [name.strip() for name in names]
    if names == [FEWER_STEPS]:
        return FEWER_STEPS
    for name in names:
        if name not in METHODS.names():
            raise UnknownNameError("table", name, (*METHODS.names(), FEWER_STEPS))
    return ",".join(sorted(set(names)))


def slug(name: str) -> str:
    """The name of a setting's folder or a table's file: ``DPM-Solver++ 20`` → ``DPM-Solverpp-20``."""
    return re.sub(r"[^\w.]+", "-", name.replace("+", "p"))


def pipeline_of(setting: str) -> Any:
    """The model with the setting's scheduler on the CPU: what the legal plans depend on."""
    return load_pipeline(MODEL, find_scheduler(scheduler_and_steps(setting)[0]))


def rows_of(table: str, pipe: Any, steps: int, most: int, seed: int) -> list[Row]:
    """The rows of a table in a seeded order, ``most`` of them: any first part is a fair sample of the space."""
    if table == FEWER_STEPS:
        return [Row(str(Plan()), fewer) for fewer in range(steps, 0, -1)]
    space = Space(table.split(","), pipe, steps)
    cells = np.random.default_rng(seed).permutation(np.flatnonzero(space.open))[:most]
    indices = (np.unravel_index(cell, space.open.shape) for cell in cells)
    return [Row(str(space.plan(tuple(map(int, index)))), steps) for index in indices]
