"""Makes a script for every request of a list, where there is one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from hasten.answer import Answer, StatedFigures
from hasten.errors import HastenError, InputError
from hasten.files import save_json, whole
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.models import family_named
from hasten.options import checked
from hasten.records import Status
from hasten.script.claim import Runtime
from hasten.script.write import script_name
from hasten.store.seeds.bounds import BoundEntry, Bounds
from hasten.store.seeds.search_params import Entry, SearchParams
from hasten.store.seeds.tasks_file import Request
from hasten.task import Setting, Task
from hasten.version import __version__
from hasten.workflow.batch import Batch, BatchAnswer, BatchEntry, in_order
from hasten.workflow.choices import SCRIPT_NAMES, Choices, ScriptChoices, split
from hasten.workflow.delivery import Delivery, command_of
from hasten.workflow.explore import check_files, keep
from hasten.workflow.opening import listed_prompts, model_of, placed, task_of, usual_dtype
from hasten.workflow.place import Place

REPORT, MANIFEST, SCRIPTS = "generation_report.json", "manifest.json", "scripts"
CLAIMED = {
    *("speedup", "speedup_interval", "quality_loss", "plan", "status"),
    *("verified", "outcome", "equal_time", "warnings"),
}
NOT_MEASURED = "Parameters and figures are those of the given file: nothing was measured here."
NO_PLAN = "The given file has no plan that answers it, and nothing is to be measured."


@dataclass(frozen=True)
class Generation:
    """How the scripts of a list of requests are made.

    Example:
        >>> Generation(runtime="upstream", bounds=Bounds.read("speedup_bounds.json"))

    Args:
        runtime: what the scripts call: ``hasten``, or the ``upstream`` packages.
        allow_known_wrong: whether upstream scripts that are known to go wrong are written, with a warning in them.
        verify: whether each script is measured again in a fresh process.
        as_is: whether a plan of ``params`` is written with the figures that it has there, without measuring.
        place: where to measure.
        bounds: known upper bounds. A task above its bound is infeasible, and one below it is searched for without
            finding the bound first.
        params: known plans. The plan that was found for a task is measured first.
    """

    runtime: Runtime = "hasten"
    allow_known_wrong: bool = False
    verify: bool = True
    as_is: bool = False
    place: Place = field(default_factory=Place)
    bounds: Bounds | None = None
    params: SearchParams | None = None

    def run(self, requests: Sequence[Request], batch: Batch) -> Iterator[BatchAnswer]:
        """Yields the requests with their answers as they come, and writes the report and the manifest after
        each."""
        check_files(batch.folder)
        found: list[BatchAnswer] = []
        entries = [self._entry(number, request, batch.folder) for number, request in enumerate(requests, 1)]
        with closing(batch.answer_all("generate", entries)) as answers:
            for one in answers:
                if one.answer and not self.as_is:
                    keep(one.answer, batch.folder)
                found.append(one)
                write_report(in_order(found), batch.folder, left=len(entries) - len(found))
                yield one
        if not entries:
            write_report([], batch.folder)

    def _entry(self, number: int, request: Request, folder: Path) -> BatchEntry:
        """Returns the entry of a request. Whatever is wrong with the request is the entry's fault and raises
        nothing."""
        told: dict[str, Any] = {"number": number, "place": request.place, "labels": _whole(request.labels)}
        text = _whole(request.text or "")
        if request.fault:
            return BatchEntry("", text, None, _whole(request.fault), **told)
        try:
            task = task_of(request.task or text)
            _refuse_two_tasks(text, request.task)
            model_of(task, self.place)
            words = text or render(task)
            return self._completed(
                task, BatchEntry(Path(script_name(task, self.runtime)).stem, words, task, **told), folder
            )
        except HastenError as error:
            return BatchEntry("", text, None, _whole(str(error)), **told)

    def _completed(self, task: Task, entry: BatchEntry, folder: Path) -> BatchEntry:
        """Returns the entry with the answer where it is known, or else with what a worker needs to find it."""
        stored = self.params.find(task) if self.params else None
        bound = self.bounds.find(task) if self.bounds else None
        delivery = self._delivery(entry.request, folder)
        if stored and self.as_is:
            return replace(entry, answer=written_as_is(task, stored, delivery, self.place))
        if bound and (reason := over_bound(task, bound)):
            return replace(entry, answer=Answer(status="infeasible", task=task, reason=reason))
        if self.as_is:
            return replace(entry, answer=Answer(status="failed", task=task, reason=NO_PLAN))
        candidate = str(stored.plan) if stored else ""
        return replace(entry, arguments={"delivery": delivery, "candidate": candidate, "explore": bound is None})

    def _delivery(self, request: str, folder: Path) -> Delivery:
        return Delivery(
            folder=folder / SCRIPTS,
            runtime=self.runtime,
            command=command_of(request),
            request=request,
            seed=self.place.seed,
            allow_known_wrong=self.allow_known_wrong,
            verify=self.verify,
            report=False,
            prompts=listed_prompts(self.place),
        )


def _refuse_two_tasks(text: str, task: Task | None) -> None:
    """Raises InputError where the sentence beside a task can be read and means another task."""
    if task is None or not text:
        return
    try:
        said = parse(text)
    except HastenError:
        return
    told, meant = (one.model_copy(update={"assumptions": ()}).to_json() for one in (said, task))
    differ = [name for name in {**told, **meant} if told.get(name) != meant.get(name)]
    if differ:
        raise InputError(
            f"Its sentence and its task differ in {', '.join(differ)}: change both, or leave out one of them."
        )


def request_of(request: str | Task | Request, number: int) -> Request:
    """Returns a sentence or a task as an entry of a list."""
    if isinstance(request, Request):
        return request
    text, task = (request, None) if isinstance(request, str) else (None, request)
    return Request(text, task, "", f"request {number}")


def over_bound(task: Task, bound: BoundEntry) -> str:
    """Returns why the task exceeds a known upper bound, or "".

    It is "" where the target is below the bound, and where a budget ended the search for the bound.
    """
    if task.target is None or task.target.speedup is None or bound.complete is False:
        return ""
    if bound.max_speedup is None:
        why = bound.reason or "nothing is feasible"
        return f"{task.target} is out of reach: {why}" if bound.status == "infeasible" else ""
    plan = f", with {bound.plan}" if bound.plan else ""
    too_fast = task.target.speedup > bound.max_speedup
    return f"{task.target} is out of reach: the upper bound is {bound.max_speedup:.4g}x{plan}." if too_fast else ""


def written_as_is(task: Task, stored: Entry, delivery: Delivery, place: Place) -> Answer:
    """Returns an answer with the script of a known plan and the figures that it has in its file.

    Raises:
        InputError: the script cannot be written.
    """
    place = placed(task, place)
    model = model_of(task, place)
    if not model.resolution:
        raise InputError(f"The size of {model.name} is not known without loading it: have its plan measured.")
    size = model.resolution
    device = place.device or ("cpu" if model.embedded else "cuda")
    setting = Setting(
        model=model.name,
        scheduler=task.scheduler,
        steps=task.steps,
        height=place.height or size,
        width=place.width or size,
        guidance_scale=model.guidance_scale if place.guidance_scale is None else place.guidance_scale,
        batch_size=place.batch_size or 1,
        dtype=place.dtype or usual_dtype(device, family_named(task.model)),
        device=device,
    )
    stated = StatedFigures(plan=stored.plan, speedup=stored.speedup, quality_loss=stored.score_loss)
    answer = Answer(status="likely", task=task, stated=stated, reason=NOT_MEASURED)
    return answer.model_copy(update={"script": str(delivery.script(answer, setting, model, {}))})


def generation_of(how: Generation | None, choices: ScriptChoices) -> tuple[Generation, Choices]:
    """Returns how scripts are made, and the choices of the search.

    Args:
        how: how scripts are made; None for the usual way.
        choices: all choices. Those about scripts replace what ``how`` says.

    Raises:
        InputError: a value is out of range.
        TypeError: a name is unknown.
    """
    scripts = checked({name: value for name, value in choices.items() if name in SCRIPT_NAMES})
    given = {name: value for name, value in scripts.items() if value is not None}
    rest = cast(Choices, {name: value for name, value in choices.items() if name not in SCRIPT_NAMES})
    return replace(how or Generation(), place=split(rest, beside=SCRIPT_NAMES)[1], **given), rest


def write_report(found: Sequence[BatchAnswer], folder: Path, left: int = 0) -> None:
    """Writes ``generation_report.json`` with every request and its answer, and ``manifest.json`` with scripts and
    their claims.

    ``left`` is the number of requests that are not answered yet.
    """
    counts = Counter(one.status for one in found)
    tasks = [one.model_dump(mode="json", exclude={"answer"}) | {"script": _near(one, folder)} for one in found]
    report = {
        "hasten": __version__,
        "counts": {status: counts[status] for status in get_args(Status)},
        "left": left,
        "seconds": sum(one.seconds for one in found),
        "tasks": tasks,
    }
    save_json(report, folder / REPORT)
    save_json([_claim(one, folder) for one in found if one.script], folder / MANIFEST)


def _claim(one: BatchAnswer, folder: Path) -> dict[str, Any]:
    claim = one.model_dump(mode="json", include=CLAIMED)
    return {"request": one.request, "place": one.place, "script": _near(one, folder), "claim": claim}


def _near(one: BatchAnswer, folder: Path) -> str | None:
    """Returns the script's path relative to the folder, so that the folder can be moved."""
    return Path(one.script).relative_to(folder).as_posix() if one.script else None


def _whole(data: Any) -> Any:
    """Returns texts and labels without lone surrogates."""
    return json.loads(whole(json.dumps(data, ensure_ascii=False)))
