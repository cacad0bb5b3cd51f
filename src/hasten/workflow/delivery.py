"""Delivers an answer in one folder: the script, measured again in a fresh process, and the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hasten.answer import Answer
from hasten.files import save, save_json
from hasten.language.render import render
from hasten.measure.bench import Bench
from hasten.measure.prompts import load
from hasten.methods import check_plan
from hasten.models import family_named
from hasten.models.base import Model
from hasten.options import checked
from hasten.plan import Plan
from hasten.records import Trial
from hasten.report import ReportImages
from hasten.script.claim import Runtime
from hasten.script.upstream import refuse_missing, upstream_calls
from hasten.script.write import family_of_model, render_script, script_name
from hasten.search import Listener, Progress, SearchOptions
from hasten.task import Setting, Task
from hasten.texts import without_secrets
from hasten.workflow.folder import Context, answer_key, conclude, keep
from hasten.workflow.verifying import Write, verified

IMAGES = 4


def command_of(request: str | Task) -> str:
    """Returns the command that answers the request again."""
    return f"hasten run {shlex.quote(without_secrets(request) if isinstance(request, str) else render(request))}"


@dataclass(frozen=True)
class Delivery:
    """What is delivered, and where.

    Secrets in command and request, such as the password in a database's URL, are removed from everything that is
    written.

    Attributes:
        folder: the folder to write to.
        runtime: what the script calls: hasten, or the upstream packages.
        command: the command that gives the same answer again.
        request: the user's sentence.
        seed: the seed of the latents.
        allow_known_wrong: whether an upstream script that is known to go wrong is written, with a warning in it.
        verify: whether the script is measured again in a fresh process.
        report: whether a report is written, with everything that it is made from.
        prompts: prompts that were given as a list.
    """

    folder: Path
    runtime: Runtime
    command: str
    request: str | None = None
    seed: int = 0
    allow_known_wrong: bool = False
    verify: bool = True
    report: bool = True
    prompts: tuple[str, ...] = ()

    def check_first(self, task: Task, model: Model) -> None:
        """Checks what can fail before the model is loaded.

        Raises:
            UnsupportedError: no upstream package has these methods.
        """
        family = family_named(model.name)
        if self.runtime == "upstream" and family:
            refuse_missing(task.methods or (), family.name)

    def __post_init__(self) -> None:
        checked({"runtime": self.runtime})
        object.__setattr__(self, "command", without_secrets(self.command))
        object.__setattr__(self, "request", self.request and without_secrets(self.request))

    def check(self, task: Task, model: Model, bench: Bench) -> None:
        """Checks what can fail before anything is measured.

        Raises:
            UnsupportedError: the upstream packages cannot take these methods.
        """
        if self.runtime == "upstream" and task.methods:
            for methods in [(m,) for m in task.methods] if task.one_of else [task.methods]:
                asked = Plan.of({m: task.parameters.get(m, {}) for m in methods})
                plan = check_plan(asked, bench.pipe, task.steps)
                upstream_calls(plan, bench.setting, family_of_model(model).name, self.allow_known_wrong)

    def write(
        self, answer: Answer, trials: Sequence[Trial], model: Model, bench: Bench, progress: Listener | None = None
    ) -> Answer:
        """Writes the script of a met or likely answer, and stores what the report needs."""
        if answer.status in ("met", "likely"):
            script = self.script(answer, bench.setting, model, bench.environment)
            answer = answer.model_copy(update={"script": str(script)})
        if not self.report:
            return answer
        if progress:
            progress(Progress("report", message="drawing the images of the report"))
        images = _images(answer, bench)
        prompts = tuple(images.prompts)
        key = answer_key(answer)
        context = Context(bench.setting, bench.environment, self.command, self.request, prompts, key)
        keep(self.folder, tuple(trials), context, images)
        return answer

    def finish(
        self, answer: Answer, write: Write, options: SearchOptions, batch_size: int, progress: Listener | None
    ) -> Answer:
        """Measures the script again where asked for, and writes the report. The device must be free."""
        if self.verify and answer.script:
            if progress:
                progress(Progress("verify", message="measuring the script in a fresh process"))
            answer = verified(answer, write, options, batch_size)
        return conclude(self.folder, answer) if self.report else answer

    def script(self, answer: Answer, setting: Setting, model: Model, environment: Mapping[str, str]) -> Path:
        """Writes the script of a plan, or of the plain pipeline, and returns its path."""
        text = render_script(
            answer,
            setting,
            self._with_file(model),
            runtime=self.runtime,
            command=self.command,
            environment=environment,
            request=self.request,
            seed=self.seed,
            allow_known_wrong=self.allow_known_wrong,
        )
        return save(text, self.folder / script_name(answer.task, self.runtime))

    def _with_file(self, model: Model) -> Model:
        """Returns the model with prompts from a file beside the script, where they were given as a list."""
        if not self.prompts:
            return model
        name = f"prompts-{load(self.prompts).fingerprint[:8]}.json"
        return replace(model, prompts=str(save_json(list(self.prompts), self.folder / name)))


def _images(answer: Answer, bench: Bench) -> ReportImages:
    """Returns the first images of the verdict by the baseline, the plan and the equal-time baseline."""
    shown = answer.shown
    if shown.confirmed is None or shown.confirmed.status != "ok":
        return ReportImages()
    indices = range(shown.confirmed.offset, shown.confirmed.offset + IMAGES)
    fewer = None if shown.instead_of else shown.equal_time
    fewer = fewer if fewer and fewer.trial.status == "ok" else None

    def drawn(plan: Plan, steps: int | None = None) -> list[object]:
        return list(bench.images(plan, split="held-out", indices=indices, steps=steps))

    return ReportImages(
        prompts=[bench.pipeline.prompt("held-out", i) for i in indices],
        reference=drawn(Plan()),
        accelerated=drawn(shown.plan) if shown.plan else [],
        equal_time=drawn(Plan(), fewer.steps) if fewer else [],
    )
