"""A recording's options, and what its stages share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hasten.files import save_json
from hasten.measure.bench import Bench
from hasten.measure.failures import PlanError

from .packing import PLANS
from .parts import Line, Stage
from .plans import Row, pipeline_of, rows_of, scheduler_and_steps, setting_of, slug


@dataclass(frozen=True)
class Recording:
    """The options of a recording. ``samples`` is of both splits together, half of them each."""

    work: Path
    settings: tuple[str, ...]
    tables: tuple[str, ...]
    device: str
    dtype: str
    samples: int
    seed: int
    plans: int
    timed: int
    pairs: int
    batch_size: int
    jobs: int
    share: tuple[int, int]
    limit_s: float | None
    command: str

    def folder(self, setting: str) -> Path:
        folder = self.work / slug(setting)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def bench(self, setting: str, stage: Stage) -> Bench:
        """Hasten's bench of a setting; one that draws all images of a split at once where nothing is timed."""
        at_once = self.samples // 2 if stage == "quality" else self.batch_size
        return Bench.open(
            setting_of(setting, device=self.device, dtype=self.dtype, batch_size=at_once), seed=self.seed
        )

    def rows(self) -> dict[str, dict[str, list[Row]]]:
        """Setting → table → rows; also kept in the work folder, for packing."""
        found: dict[str, dict[str, list[Row]]] = {}
        for setting in self.settings:
            pipe, steps = pipeline_of(setting), scheduler_and_steps(setting)[1]
            found[setting] = {name: rows_of(name, pipe, steps, self.plans, self.seed) for name in self.tables}
            path = self.folder(setting) / PLANS
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            save_json({**before, **found[setting]}, path)
        return found


def measured(measure: Callable[[], Line]) -> Line:
    """What was measured, or the reason why the plan failed: that is not tried again."""
    try:
        return measure()
    except PlanError as failure:
        return {"failed": str(failure)}


def steps_of(bench: Bench, row: Row) -> int | None:
    return None if row.steps == bench.setting.steps else row.steps


def header_of(recording: Recording, bench: Bench) -> Line:
    return {
        "setting": asdict(bench.setting),
        "identity": bench.identity,
        "environment": bench.environment,
        "prompts": bench.pipeline.prompts.name,
        "seed": recording.seed,
        "command": recording.command,
    }


def deadline_of(recording: Recording) -> float:
    return time.time() + (float("inf") if recording.limit_s is None else recording.limit_s)


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
