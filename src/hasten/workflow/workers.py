"""Runs jobs in worker processes, one per device, so that the death of a process affects one job only.

The parent imports neither torch nor a model. It stays responsive and survives its workers' crashes.
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
"""The time for a process to start. Importing torch and waking a GPU take seconds, or minutes from a cold network
disk."""
TICK_S = 0.5


def run_jobs(
    jobs: Iterable[Job],
    devices: Sequence[str],
    on_event: Listener,
    *,
    logs: Path | None = None,
    start_limit_s: float = START_LIMIT_S,
) -> Generator[Outcome]:
    """Yields the outcomes of the jobs as they end. Each device takes the next job when it is free.

    A job is taken from ``jobs`` only when a device is free, after the outcome before it was yielded, so that
    ``jobs`` may depend on outcomes. Events come in the same thread while the iterator is waited for.

    A process serves many jobs. After a job that failed by more than a user's mistake, or was killed, the next one
    gets a new process. A job in which a plan hung that is now stored as failed begins again in a new process.
    Ctrl-C or SIGTERM ends all processes: jobs under way are yielded as interrupted, and then KeyboardInterrupt is
    raised. Closing the iterator, and the parent's own death, end all processes as well.

    Args:
        jobs: the jobs.
        devices: torch devices (``cuda:0``, ``cpu``) or ``auto``, each once.
        on_event: called with each event.
        logs: a folder for a log file per device, with everything that workers print and log, and the tracebacks of
            failed jobs. With None this goes to standard error, without tracebacks.
        start_limit_s: the seconds after which a process that is not ready is killed.

    Raises:
        InputError: there is no device, one is named twice, or the folder cannot be written.
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
        """Yields the outcomes of jobs that were done before the end, and interrupted ones for those that were
        under way.

        A job that failed meanwhile counts as interrupted, because the end may be the cause: a child of its own was
        killed, say.
        """
        while not self._inbox.empty():
            process, kind, content = self._inbox.get()
            if kind == "end" and (end := pickle.loads(content))[0] == "done":
                yield self._ended(self._owner(process), *end)
        for device in self._devices:
            if device.job is not None:
                yield device.outcome("interrupted", reason="Interrupted.")

    def end(self) -> None:
        """Ends all processes by SIGTERM and some seconds later by SIGKILL, or at once when interrupted
        meanwhile."""
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
        """Waits a moment for the next message and handles it."""
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
                device.failed_starts = STARTS - 1  # another start would fail in the same way
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
        if process.may_go_on and device.job is not None:
            self._returned.appendleft(device.job)
            device.job = None
        elif device.began is not None and device.job is not None:
            yield device.outcome("killed", reason=device.fault)
        elif device.job is not None:
            self._take_back(device)

    def _take_back(self, device: Device) -> None:
        """Takes back a job that had not begun. It did not cause the process's failure, so that another device may
        take it."""
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
    """Turns SIGTERM into KeyboardInterrupt, unless the program handles it itself, or this is not the main
    thread."""
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
