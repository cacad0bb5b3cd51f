"""Hands an answer over: script, report, the answer and its trials as JSON, in one folder."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hasten.errors import InputError
from hasten.measure.bench import Bench
from hasten.methods import check_plan
from hasten.models.base import Model
from hasten.plan import Plan
from hasten.records import Answer, Trial
from hasten.report import ReportImages, render_report
from hasten.script.claim import Runtime
from hasten.script.upstream import upstream_calls
from hasten.script.write import RUNTIMES, family_of_model, render_script, save, script_name
from hasten.task import Task

IMAGES = 4


@dataclass(frozen=True)
class Delivery:
    """Where and how to hand over; ``command`` is what a reader types to get the same again."""

    folder: Path
    runtime: Runtime
    command: str
    request: str | None = None
    seed: int = 0
    allow_known_wrong: bool = False

    def check(self, task: Task, model: Model, bench: Bench) -> None:
        """What can be known to fail before anything is measured.

        Raises:
            InputError: no such runtime. UnsupportedError: the upstream packages cannot take these methods.
        """
        if self.runtime not in RUNTIMES:
            raise InputError(f"Unknown runtime {self.runtime!r}. Available: {', '.join(RUNTIMES)}.")
        if self.runtime == "upstream" and task.methods:
            plan = check_plan(
                Plan.of({m: task.parameters.get(m, {}) for m in task.methods}), bench.pipe, task.steps
            )
            upstream_calls(plan, bench.setting, family_of_model(model).name, self.allow_known_wrong)

    def write(self, answer: Answer, trials: Sequence[Trial], model: Model, bench: Bench) -> Answer:
        """Writes everything and returns the answer with the places of script and report in it.

        A script only for an answer that was met or is likely; the report and the trials for every one.
        """
        if answer.status in ("met", "likely"):
            script = self.folder / script_name(answer, self.runtime)
            text = render_script(
                answer,
                bench.setting,
                model,
                runtime=self.runtime,
                command=self.command,
                environment=bench.environment,
                request=self.request,
                seed=self.seed,
                allow_known_wrong=self.allow_known_wrong,
            )
            answer = answer.model_copy(update={"script": str(save(text, script))})
        answer = answer.model_copy(update={"report": str(self.folder / "report.html")})
        page = render_report(
            answer,
            trials,
            bench.setting,
            bench.environment,
            _images(answer, bench),
            command=self.command,
            request=self.request,
        )
        save(page, self.folder / "report.html")
        save(_json([t.model_dump(mode="json") for t in trials]), self.folder / "trials.json")
        save(_json(answer.to_json()), self.folder / "answer.json")
        return answer


def check_folder(folder: Path) -> None:
    """Raises InputError where the folder could not be made or written. Nothing is left behind."""
    place = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return
    except NotADirectoryError:
        reason = f"{str(place)!r} is a file"
    except OSError as error:
        reason = f"{str(place)!r}: {error.strerror}"
    raise InputError(f"The output folder {str(folder)!r} cannot be written: {reason}. Choose another with --out.")


def folder_of(task: Task, out: str | Path | None) -> Path:
    """The folder asked for, or ``hasten-out`` and a name that tells the task; checked, not created."""
    parts = [Path(task.model).name, task.scheduler, str(task.steps), *(task.methods or ()), str(task.target or "")]
    if task.methods is None:
        parts.insert(3, "any")
    name = "_".join(p for part in parts if (p := re.sub(r"[^A-Za-z0-9.+-]+", "-", part).strip("-")))
    folder = Path(out) if out is not None else Path("hasten-out") / name
    check_folder(folder.absolute())
    return folder


def _images(answer: Answer, bench: Bench) -> ReportImages:
    """The first held-out prompts as the baseline, the plan and the equal-time baseline draw them."""
    shown = answer.best or answer
    indices = range(IMAGES)
    if shown.confirmed is None or shown.confirmed.status != "ok":
        return ReportImages()
    fewer = shown.equal_time if shown.equal_time and shown.equal_time.trial.status == "ok" else None

    def drawn(plan: Plan, steps: int | None = None) -> list[object]:
        return list(bench.images(plan, split="held-out", indices=indices, steps=steps))

    plan = Plan.parse(shown.plan)
    return ReportImages(
        prompts=[bench.prompts("held-out")[i % len(bench.prompts("held-out"))] for i in indices],
        reference=drawn(Plan()),
        accelerated=drawn(plan) if plan else [],
        equal_time=drawn(Plan(), fewer.steps) if fewer else [],
    )


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
