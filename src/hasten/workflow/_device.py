"""One device of a pool: the process that works for it, and its job."""

from __future__ import annotations

import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hasten.workflow._process import Message, WorkerProcess
from hasten.workflow.jobs import Job, Outcome, Status

STARTS = 2
"""The number of consecutive failed starts after which a device is given up."""


class Device:
    """A device with its process, its job, and the number of consecutive failed starts."""

    def __init__(self, name: str, inbox: SimpleQueue[Message], log: Path | None) -> None:
        self.name, self._inbox, self._log = name, inbox, log
        self.process: WorkerProcess | None = None
        self.ready = self.leaving = False
        self.job: Job | None = None
        self.began: float | None = None
        self.fault, self.failed_starts = "", 0
        self._arguments = b""

    @property
    def given_up(self) -> bool:
        return self.failed_starts >= STARTS

    @property
    def busy(self) -> bool:
        return self.job is not None or self.leaving

    def take(self, job: Job, arguments: bytes) -> None:
        """Accepts a job, which the process gets when it is ready. A process is started where there is none."""
        self.job, self._arguments, self.began = job, arguments, None
        if self.process is not None:
            self.hand_over()
            return
        self.ready, self.fault = False, ""
        self.process = WorkerProcess(self.name, self._inbox, self._log)

    def hand_over(self) -> None:
        if self.process is not None and self.job is not None:
            self.process.send((self.job.name, self.job.function, self._arguments))

    def kill(self, fault: str = "") -> None:
        """Ends the process. The device stays busy until it is gone, because it holds memory."""
        self.fault, self.leaving = fault, not fault
        if self.process is not None:
            self.process.kill()

    def outcome(self, status: Status, **found: Any) -> Outcome:
        """Returns the outcome of the job, after which the device has no job."""
        job, self.job = self.job, None
        if job is None:
            raise RuntimeError(f"An outcome ({status}) of {self.name}, which has no job.")
        seconds = 0.0 if self.began is None else time.monotonic() - self.began
        return Outcome(job, status, seconds=seconds, device=self.name, **found)
