"""Runs jobs in worker processes, one a device: what happens to a process happens to one job alone.

The parent imports neither torch nor a model. It stays responsive, and survives its workers' crashes.
"""

from __future__ import annotations

import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from hasten.errors import InputError
from hasten.workflow._device import STARTS, Device
from hasten.workflow._process import Message, WorkerProcess, log_file
from hasten.workflow._worker import GRACE_S
from hasten.workflow.jobs import Event, Job, Kind, Listener, Outcome, Status

__all__ = ["Event", "Job", "Listener", "Outcome", "run_jobs"]

START_LIMIT_S = 300.0
"""Importing torch and waking a GPU takes seconds; from a cold network disk, minutes."""
TICK_S = 0.5


def run_jobs(
    jobs: Iterable[Job],
    devices: Sequence[str],
    on_event: Listener,
    *,
    logs: Path | None = None,
    start_limit_s: float = START_LIMIT_S,
) -> Generator[Outcome]:
    """The outcomes of the jobs, as they end; each device takes the next job when it is free.

    A job is taken from ``jobs`` only when a device is free, after the outcome before it was handed out: so
    ``jobs`` may depend on outcomes. Events come while the iterator is waited for, in the same thread.

    A process stays for many jobs. After one that failed by more than a user's mistake, or was killed, the next
    job gets a new process. Ctrl-C or SIGTERM ends all of them; jobs under way come out as interrupted, then
    KeyboardInterrupt is raised. Closing the iterator ends all of them, and so does the parent's own death.

    Args:
        devices: torch devices (``cuda:0``, ``cpu``) or ``auto``, each once.
        on_event: is told what goes on.
        logs: a folder for a log file a device: all that workers print and log, the tracebacks of failed jobs.
            Where None it goes to standard error, without the tracebacks.
        start_limit_s: a process that is not ready after so many seconds is killed.

    Raises:
        InputError: no device, or one named twice, or the folder cannot be written.
    """
    if not devices or len(set(devices)) < len(devices):
        raise InputError(f"The devices are {list(devices)}: allowed is at least one, and each once.")
    if logs is not None:
        _make(logs)
    return _run(_Pool(jobs, devices, on_event, logs, start_limit_s))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder for logs {str(folder)!r} cannot be made: {error.strerror}.") from None


def _run(pool: _Pool) -> Generator[Outcome]:
    with _sigterm_interrupts():
        try:
            yield from pool.outcomes()
        except KeyboardInterrupt:
            pool.end()
            yield from pool.interrupted()
            raise
        finally:
            pool.end()


class _Pool:
    def __init__(
        self, jobs: Iterable[Job], devices: Sequence[str], tell: Listener, logs: Path | None, start_limit_s: float
    ) -> None:
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._devices = [Device(name, self._inbox, log_file(logs, name)) for name in devices]
        self._jobs, self._returned = iter(jobs), deque[Job]()
        self._tell, self._start_limit_s = tell, start_limit_s

    def outcomes(self) -> Iterator[Outcome]:
        while True:
            while (device := self._free_device()) and (job := self._next_job()):
                yield from self._give(device, job)
            if not any(device.busy for device in self._devices):
                break
            yield from self._hear()
        faults = "; ".join(f"{device.name}: {device.fault}" for device in self._devices)
        while job := self._next_job():
            yield Outcome(job, "failed", reason=f"No device can be used. {faults}")

    def interrupted(self) -> Iterator[Outcome]:
        """After the end: what was done by then, and the jobs that were under way.

        So is one that failed meanwhile: the end may have been what it failed by, a child of its own killed, say.
        """
        while not self._inbox.empty():
            process, kind, content = self._inbox.get()
            if kind == "end" and (end := pickle.loads(content))[0] == "done":
                yield self._ended(self._owner(process), *end)
        for device in self._devices:
            if device.job is not None:
                yield device.outcome("interrupted", reason="Interrupted.")

    def end(self) -> None:
        """Ends all processes: SIGTERM, some seconds later SIGKILL; at once when interrupted meanwhile."""
        processes = [(d.process, d.job is None) for d in self._devices if d.process is not None]
        try:
            deadline = time.monotonic() + GRACE_S
            for process, idle in processes:
                process.end(gently=idle)
            for process, _ in processes:
                process.join(deadline - time.monotonic())
        finally:
            for process, _ in processes:
                process.kill()
            for process, _ in processes:
                process.join()

    def _free_device(self) -> Device | None:
        return next((d for d in self._devices if not d.busy and not d.given_up), None)

    def _next_job(self) -> Job | None:
        return self._returned.popleft() if self._returned else next(self._jobs, None)

    def _give(self, device: Device, job: Job) -> Iterator[Outcome]:
        try:
            arguments = pickle.dumps(job.arguments)
        except Exception as error:
            reason = f"Its arguments cannot be sent: {type(error).__name__}: {error}"
            yield Outcome(job, "failed", reason=reason, device=device.name)
            return
        try:
            device.take(job, arguments)
        except OSError as error:
            device.fault = f"No process can be started: {error}"
            self._take_back(device)

    def _hear(self) -> Iterator[Outcome]:
        """Waits a little for the next message, and does what it asks for."""
        self._check_starts()
        try:
            process, kind, content = self._inbox.get(timeout=TICK_S)
        except Empty:
            return
        device = self._owner(process)
        match kind:
            case "gone":
                yield from self._gone(device, process)
            case "end":
                yield self._ended(device, *pickle.loads(content))
            case "unfit":
                device.failed_starts = STARTS - 1  # it would say the same again
                device.kill(pickle.loads(content))
            case _:
                self._going_on(device, kind, content)

    def _going_on(self, device: Device, kind: Kind, content: bytes) -> None:
        try:
            event = Event(kind, device.name, device.job, pickle.loads(content))
        except Exception as error:
            text = f"A report cannot be read: {type(error).__name__}: {error}"
            event = Event("warning", device.name, device.job, text)
        if kind == "start":
            device.began, device.failed_starts = time.monotonic(), 0
        self._tell(event)
        if kind == "hello":
            device.ready = True
            device.hand_over()

    def _ended(self, device: Device, status: Status, content: Any, sound: bool) -> Outcome:
        if not sound:
            device.kill()
        if status != "done":
            return device.outcome(status, reason=content)
        try:
            return device.outcome(status, result=pickle.loads(content))
        except Exception as error:
            return device.outcome("failed", reason=f"Its result cannot be read: {type(error).__name__}: {error}")

    def _gone(self, device: Device, process: WorkerProcess) -> Iterator[Outcome]:
        device.process = None
        if device.leaving:
            device.leaving = False
            return
        device.fault = device.fault or process.fate
        self._tell(Event("lost", device.name, device.job, device.fault))
        if device.began is not None and device.job is not None:
            yield device.outcome("killed", reason=device.fault)
        elif device.job is not None:
            self._take_back(device)

    def _take_back(self, device: Device) -> None:
        """The job had not begun: whatever happened to the process is not its fault, and another may take it."""
        device.failed_starts += 1
        if device.job is not None:
            self._returned.append(device.job)
            device.job = None

    def _check_starts(self) -> None:
        for device in self._devices:
            process = device.process
            if process is None or device.ready or device.fault:
                continue
            if time.monotonic() - process.started > self._start_limit_s:
                device.kill(f"its process was not ready after {self._start_limit_s:g} s")

    def _owner(self, process: WorkerProcess) -> Device:
        return next(device for device in self._devices if device.process is process)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM becomes KeyboardInterrupt, unless the program has its own use for it, or this is not its thread."""
    own_use = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if own_use or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
