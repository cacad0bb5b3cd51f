"""What is given to worker processes, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["done", "failed", "killed", "interrupted"]
Kind = Literal["hello", "start", "report", "warning", "lost"]
AUTO = "auto"
"""Names the device that hasten takes where none is named: the GPU where there is one."""


@dataclass(frozen=True)
class Job:
    """A call for a worker: ``function`` is ``module:name``, called as ``name(report, device, **arguments)``.

    ``report(event)`` sends anything that can be pickled to the parent. So must arguments and result be.
    """

    name: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    ``status``: done (``result``) · failed (it raised) · killed (its process died) · interrupted (the parent was
    asked to end); the last three have a ``reason``. ``seconds`` since the job's start; ``device`` is empty where
    none was left to take the job.
    """

    job: Job
    status: Status
    result: Any = None
    reason: str = ""
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True)
class Event:
    """What is going on at a device, in the order in which it happened there.

    ``kind`` and ``content``: hello (``pid``, ``environment`` and its ``key``: a process is ready) · start (of the
    job) · report (what the job's function reports) · warning (hasten's own, text: a busy device is waited for) ·
    lost (text: the process died, or did not start; there will be another).
    """

    kind: Kind
    device: str
    job: Job | None = None
    content: Any = None


Listener = Callable[[Event], None]
