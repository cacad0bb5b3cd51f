"""What worker processes are given, and what they send back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["done", "failed", "unwritten", "killed", "interrupted"]
Kind = Literal["hello", "start", "report", "warning", "lost"]
AUTO = "auto"
"""Stands for the device that hasten chooses where none is named: the GPU where there is one."""


@dataclass(frozen=True)
class Job:
    """A call for a worker: ``function`` is ``module:name``, called as ``name(report, device, **arguments)``.

    ``report(event)`` sends anything that can be pickled to the parent. Arguments and result must be picklable,
    too.

    Example:
        >>> Job("task-1", "hasten.workflow.task_job:work", {"task": text, "choices": {}, "kept": "task-1.json"})
    """

    name: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        job: the job.
        status: *done* (it has a ``result``), *failed* (it raised an exception), *unwritten* (there was no space
            for its files), *killed* (its process died) or *interrupted* (the parent was asked to end). All but the
            first have a ``reason``.
        result: what its function returned.
        reason: why it has no result.
        seconds: the time since its start.
        device: the device that it ran on; empty where no device was left to take it.
    """

    job: Job
    status: Status
    result: Any = None
    reason: str = ""
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened at a device. Events of a device arrive in their order.

    ``kind`` determines ``content``. *hello*: a process is ready (a dict of ``pid``, ``environment`` and its
    ``key``). *start*: the job starts. *report*: whatever the job's function reports. *warning*: one of hasten's
    own, such as that a busy device is waited for (text). *lost*: the process died or did not start (text); another
    one follows.
    """

    kind: Kind
    device: str
    job: Job | None = None
    content: Any = None


Listener = Callable[[Event], None]
