"""Many tasks, one after the other on each device, to the last: what fails is an entry with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from hasten.options import values
from hasten.records import Answer, Confirmation, EqualTime, Interval, Record, Status
from hasten.search import Progress
from hasten.task import Target, Task
from hasten.workflow.choices import Choices, split
from hasten.workflow.folder import check_folder
from hasten.workflow.jobs import AUTO, Event, Job, Outcome
from hasten.workflow.task_job import WORK, Kept
from hasten.workflow.workers import run_jobs

Tell = Callable[["Standing"], None]


@dataclass(frozen=True)
class Wanted:
    """One entry of a batch: a task, or the fault that it has none. ``name`` is that of its files, without suffix.

    ``number`` and ``place`` tell where the request stands. ``answer``: the one that is known without a worker;
    else ``arguments`` go to the worker beside the task.
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
    def told(self) -> dict[str, Any]:
        """What a report says of the request itself."""
        fields = ("name", "request", "number", "place")
        return {**{f: getattr(self, f) for f in fields}, "labels": dict(self.labels)}


class Fewer(Record):
    """The equal-time baseline of an entry: the plain pipeline with so many steps, and on what it does better.

    ``says``: that in words, where it does better on anything.
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


class Settled(Record):
    """One entry of a batch with its answer, as it stands in the reports.

    ``outcome``: what the fresh process came to. ``seconds``: what the answer took.
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
    equal_time: Fewer | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    answer: Answer | None = None

    @property
    def held(self) -> bool:
        """Met or likely."""
        return self.status in ("met", "likely")


@dataclass(frozen=True)
class Standing:
    """Where a batch stands, sent at every change. ``running``: by device, the entry and what it is doing.

    ``left_s``: what the rest may take, in seconds; None while nothing was measured yet. ``notes``: what goes on
    beside, such as that a busy device is waited for.
    """

    stage: str
    total: int
    done: tuple[Settled, ...] = ()
    running: Mapping[str, tuple[str, Progress | None]] = field(default_factory=dict)
    left_s: float | None = None
    notes: tuple[str, ...] = ()


class Batch:
    """Runs entries in worker processes, one a device, and keeps each answer in ``folder``/answers at once.

    Run again after it was interrupted, it goes on: what was answered by the same means is read from there.

    Args:
        folder: of the batch.
        choices: those of ``hasten.run``.
        devices: torch devices that are used side by side.
        tell: is told where the batch stands.
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
        self._now = Standing("", 0)

    def settle(self, stage: str, entries: Sequence[Wanted]) -> Generator[Settled]:
        """The entries with their answers, as these come; an entry that occurs twice is answered once.

        Raises:
            InputError: a device is named twice.
            KeyboardInterrupt: all that was answered is kept, no process is left.
        """
        self._now, self._began = Standing(stage, len(entries)), time.monotonic()
        same: dict[str, list[Wanted]] = {}
        for entry in entries:
            if entry.task and not entry.answer:
                same.setdefault(entry.name, []).append(entry)
        jobs = [self._job(found[0]) for found in same.values()]
        with closing(run_jobs(jobs, self.devices, self._hear, logs=self.folder / "logs")) as outcomes:
            for entry in entries:
                if entry.answer or not entry.task:
                    yield self._done(_settled(entry, entry.answer) if entry.answer else _faulty(entry))
            for outcome in outcomes:
                if outcome.status == "interrupted":
                    continue  # neither done nor failed: the next run answers it
                for entry in same[outcome.job.name]:
                    yield self._done(_ended(entry, outcome))

    def _job(self, entry: Wanted) -> Job:
        kept = self.folder / "answers" / f"{entry.name}.json"
        given = {"task": entry.task.model_dump_json() if entry.task else "", "choices": self.choices}
        return Job(entry.name, WORK, {**given, "kept": str(kept), **entry.arguments})

    def _done(self, settled: Settled) -> Settled:
        running = {d: now for d, now in self._now.running.items() if now[0] != settled.name}
        done = (*self._now.done, settled)
        left = self._now.total - len(done)
        spent = (time.monotonic() - self._began) / len(done)
        self._now = replace(self._now, done=done, running=running, left_s=left * spent)
        self._tell(self._now)
        return settled

    def _hear(self, event: Event) -> None:
        if event.kind == "warning":
            self._now = replace(self._now, notes=(*self._now.notes, str(event.content)))
        elif event.job is not None:
            progress = event.content if isinstance(event.content, Progress) else None
            running = {**self._now.running, event.device: (event.job.name, progress)}
            self._now = replace(self._now, running=running)
        self._tell(self._now)


def in_order(found: Iterable[Settled]) -> list[Settled]:
    """In the order in which they were asked for, not in that in which they were answered."""
    return sorted(found, key=lambda one: one.number)


def exit_code(entries: Sequence[Settled]) -> int:
    """0 where all are met or likely, 1 where one failed, else 4 where one is undecided, else 3."""
    codes = {"failed": 1, "undecided": 4, "infeasible": 3}
    found = {entry.status for entry in entries}
    return next((code for status, code in codes.items() if status in found), 0)


def _faulty(entry: Wanted) -> Settled:
    failed = Answer(status="failed", task=entry.task, reason=entry.fault) if entry.task else None
    target = entry.task.target if entry.task else None
    return Settled(**entry.told, status="failed", reason=entry.fault, target=target, answer=failed)


def _ended(entry: Wanted, outcome: Outcome) -> Settled:
    if outcome.status != "done":
        faulty = _faulty(replace(entry, fault=outcome.reason))
        return faulty.model_copy(update={"seconds": outcome.seconds})
    kept = Kept.model_validate_json(outcome.result)
    return _settled(entry, kept.answer, kept.seconds)


def _settled(entry: Wanted, answer: Answer, seconds: float = 0.0) -> Settled:
    """Of an infeasible or undecided answer the figures are those of the best plan. What a fresh process refuted
    has failed."""
    shown = answer if answer.plan or not answer.best else answer.best
    return Settled(
        **entry.told,
        status="failed" if answer.verified is False else answer.status,
        reason=answer.reason,
        target=answer.task.target,
        speedup=shown.speedup,
        speedup_interval=shown.speedup_interval,
        quality_loss=shown.quality_loss,
        plan=shown.plan,
        script=answer.script,
        verified=answer.verified,
        outcome=answer.outcome,
        equal_time=Fewer.of(shown.equal_time) if shown.equal_time else None,
        warnings=answer.warnings or shown.warnings,
        seconds=seconds,
        answer=answer,
    )


def batch_of(out: str | Path, choices: Choices, devices: Sequence[str], tell: Tell | None) -> Batch:
    """A batch in a folder that can be written, on ``devices`` or, where these are left to hasten, the chosen one.

    Raises:
        InputError: the folder or a choice cannot be used.
    """
    place = split(choices)[1]
    folder = Path(values.path("out", out))
    check_folder(folder.absolute())
    named = (place.device,) if place.device and tuple(devices) == (AUTO,) else devices
    return Batch(folder, choices, named, tell)
