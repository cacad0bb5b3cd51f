"""Answers many tasks, one after another on each device. A failure is an answer with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from hasten.answer import Answer
from hasten.errors import WriteError
from hasten.options import values
from hasten.records import Confirmation, EqualTime, Interval, Record, Status
from hasten.search import Progress
from hasten.task import Target, Task
from hasten.workflow.choices import Choices, split
from hasten.workflow.folder import check_folder
from hasten.workflow.jobs import AUTO, Event, Job, Outcome
from hasten.workflow.task_job import WORK, KeptAnswer
from hasten.workflow.workers import run_jobs

Tell = Callable[["BatchProgress"], None]


@dataclass(frozen=True)
class BatchEntry:
    """One entry of a batch: a task, or the fault for which it has none.

    Attributes:
        name: the name of its files, without suffix.
        request: its sentence.
        task: its task.
        fault: why it has no task.
        number: its position in the list of requests.
        place: where the request is written, for messages.
        labels: everything else in the list's entry, such as an id.
        arguments: arguments for the worker, beside the task.
        answer: the answer, where it is known without a worker.
    """

    name: str
    request: str
    task: Task | None
    fault: str = ""
    number: int = 0
    place: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None

    @property
    def request_fields(self) -> dict[str, Any]:
        """The fields of a report that describe the request itself."""
        fields = ("name", "request", "number", "place")
        return {**{f: getattr(self, f) for f in fields}, "labels": dict(self.labels)}


class EqualTimeSummary(Record):
    """The equal-time baseline of an entry: the plain pipeline with ``steps`` steps, and the metrics by which it
    does better.

    ``says`` is the comparison in words, where it does better by any metric.
    """

    steps: int
    speedup: float
    losses: dict[str, float]
    plan_loses: tuple[str, ...]
    says: str = ""

    @classmethod
    def of(cls, found: EqualTime) -> Self:
        losses = {metric: loss.loss for metric, loss in found.trial.losses.items()}
        told: dict[str, Any] = {"steps": found.steps, "plan_loses": found.plan_loses, "says": found.says}
        return cls(speedup=found.trial.speedup, losses=losses, **told)


class BatchAnswer(Record):
    """One entry of a batch with its answer, as it appears in the reports.

    ``outcome`` is that of the fresh process, and ``seconds`` is the time that the answer took.
    """

    name: str
    request: str
    number: int = 0
    place: str = ""
    labels: dict[str, Any] = Field(default_factory=dict)
    status: Status
    reason: str = ""
    target: Target | None = None
    speedup: float | None = None
    speedup_interval: Interval | None = None
    quality_loss: float | None = None
    plan: str = ""
    script: str | None = None
    verified: bool | None = None
    outcome: Confirmation | None = None
    equal_time: EqualTimeSummary | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    answer: Answer | None = None

    @property
    def held(self) -> bool:
        """Whether the answer is met or likely."""
        return self.status in ("met", "likely")


@dataclass(frozen=True)
class BatchProgress:
    """The state of a batch, sent at every change.

    Attributes:
        stage: what is being done.
        total: the number of entries.
        done: the entries that were answered.
        running: by device, the name of the entry and the progress of its search.
        left_s: the estimated seconds for the rest; None until a first entry was answered.
        notes: messages, such as that a busy device is waited for.
    """

    stage: str
    total: int
    done: tuple[BatchAnswer, ...] = ()
    running: Mapping[str, tuple[str, Progress | None]] = field(default_factory=dict)
    left_s: float | None = None
    notes: tuple[str, ...] = ()


class Batch:
    """Runs entries in worker processes, one per device, and stores each answer in ``folder``/answers at once.

    A batch that is run again after an interruption continues: answers of equal circumstances are read from there.

    Args:
        folder: the folder of the batch.
        choices: the keyword arguments of ``hasten.run``.
        devices: torch devices that are used side by side.
        tell: called with the state of the batch.
    """

    def __init__(
        self,
        folder: Path,
        choices: Choices,
        devices: Sequence[str] = (AUTO,),
        tell: Tell | None = None,
    ) -> None:
        self.folder, self.choices, self.devices = folder, choices, tuple(devices)
        self._tell = tell or (lambda standing: None)
        self._now = BatchProgress("", 0)

    def answer_all(self, stage: str, entries: Sequence[BatchEntry]) -> Generator[BatchAnswer]:
        """Yields the entries with their answers as they come. A task that occurs twice is answered once.

        Raises:
            InputError: a device is named twice.
            WriteError: there is no space for what was found. Another answer would find none either, so that the
                batch ends.
            KeyboardInterrupt: the batch was interrupted. Everything answered so far is stored, and no process is
                left.
        """
        self._now, self._began = BatchProgress(stage, len(entries)), time.monotonic()
        same: dict[str, list[BatchEntry]] = {}
        for entry in entries:
            if entry.task and not entry.answer:
                same.setdefault(entry.name, []).append(entry)
        jobs = [self._job(found[0]) for found in same.values()]
        with closing(run_jobs(jobs, self.devices, self._hear, logs=self.folder / "logs")) as outcomes:
            for entry in entries:
                if entry.answer or not entry.task:
                    yield self._done(_with_answer(entry, entry.answer) if entry.answer else _faulty(entry))
            for outcome in outcomes:
                if outcome.status == "interrupted":
                    continue  # the next run answers it
                if outcome.status == "unwritten":
                    raise WriteError(outcome.reason)
                for entry in same[outcome.job.name]:
                    yield self._done(_ended(entry, outcome))

    def _job(self, entry: BatchEntry) -> Job:
        file = self.folder / "answers" / f"{entry.name}.json"
        given = {"task": entry.task.model_dump_json() if entry.task else "", "choices": self.choices}
        return Job(entry.name, WORK, {**given, "kept": str(file), **entry.arguments})

    def _done(self, found: BatchAnswer) -> BatchAnswer:
        running = {d: now for d, now in self._now.running.items() if now[0] != found.name}
        done = (*self._now.done, found)
        open_entries = self._now.total - len(done)
        seconds_each = (time.monotonic() - self._began) / len(done)
        self._now = replace(self._now, done=done, running=running, left_s=open_entries * seconds_each)
        self._tell(self._now)
        return found

    def _hear(self, event: Event) -> None:
        if event.kind == "warning":
            self._now = replace(self._now, notes=(*self._now.notes, str(event.content)))
        elif event.job is not None:
            progress = event.content if isinstance(event.content, Progress) else None
            running = {**self._now.running, event.device: (event.job.name, progress)}
            self._now = replace(self._now, running=running)
        self._tell(self._now)


def in_order(found: Iterable[BatchAnswer]) -> list[BatchAnswer]:
    """Returns the answers in the order of the requests."""
    return sorted(found, key=lambda one: one.number)


def exit_code(entries: Sequence[BatchAnswer]) -> int:
    """Returns 0 where all are met or likely, 1 where one failed, else 4 where one is undecided, else 3."""
    codes = {"failed": 1, "undecided": 4, "infeasible": 3}
    found = {entry.status for entry in entries}
    return next((code for status, code in codes.items() if status in found), 0)


def _faulty(entry: BatchEntry) -> BatchAnswer:
    failed = Answer(status="failed", task=entry.task, reason=entry.fault) if entry.task else None
    target = entry.task.target if entry.task else None
    return BatchAnswer(**entry.request_fields, status="failed", reason=entry.fault, target=target, answer=failed)


def _ended(entry: BatchEntry, outcome: Outcome) -> BatchAnswer:
    if outcome.status != "done":
        faulty = _faulty(replace(entry, fault=outcome.reason))
        return faulty.model_copy(update={"seconds": outcome.seconds})
    kept = KeptAnswer.model_validate_json(outcome.result)
    return _with_answer(entry, kept.answer, kept.seconds)


def _with_answer(entry: BatchEntry, answer: Answer, seconds: float = 0.0) -> BatchAnswer:
    """Returns the entry with its answer.

    For an infeasible or undecided answer, the figures are those of the best plan. An answer that a fresh process
    refuted counts as failed.
    """
    shown = answer.shown
    return BatchAnswer(
        **entry.request_fields,
        status="failed" if answer.verified is False else answer.status,
        reason=answer.reason,
        target=answer.task.target,
        speedup=shown.speedup,
        speedup_interval=shown.speedup_interval,
        quality_loss=shown.quality_loss,
        plan=shown.plan_text,
        script=answer.script,
        verified=answer.verified,
        outcome=answer.outcome,
        equal_time=EqualTimeSummary.of(shown.equal_time) if shown.equal_time else None,
        warnings=answer.warnings or shown.warnings,
        seconds=seconds,
        answer=answer,
    )


def batch_of(out: str | Path, choices: Choices, devices: Sequence[str], tell: Tell | None) -> Batch:
    """Returns a batch in a folder that can be written, on ``devices`` or, where these are left open, on the chosen
    device.

    Raises:
        InputError: the folder or a choice cannot be used.
    """
    place = split(choices)[1]
    folder = Path(values.path("out", out))
    check_folder(folder.absolute())
    named = (place.device,) if place.device and tuple(devices) == (AUTO,) else devices
    return Batch(folder, choices, named, tell)
