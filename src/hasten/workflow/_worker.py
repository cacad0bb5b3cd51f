"""The program of a worker process, which takes jobs from its parent, one after another, and sends back the
outcomes.

Standard input and output are the channel for a sequence of pickles. Nothing that takes long is imported here, so
that the channel exists before anything can be printed.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import signal
import sys
import threading
from importlib import import_module
from queue import SimpleQueue
from typing import Any

from hasten.errors import HastenError, InputError, WriteError
from hasten.measure.stuck import end, when_stuck
from hasten.measure.termination import Terminated, leave_if_asked, terminated_by_signal
from hasten.processes.child import GUARDED
from hasten.store.memory import one_memory
from hasten.workflow.jobs import AUTO

logger = logging.getLogger(__name__)
GRACE_S = 5.0
"""The seconds between the request to end and being killed."""
PREPARATION = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer)"
COMMAND = f"{PREPARATION}; from hasten.workflow._worker import main; main()"

Request = tuple[str, str, bytes]
"""The name, function and pickled arguments of a job."""


class Channel:
    """Two descriptors of this module's own. From now on standard output goes where standard error goes.

    Processes that a job forks get neither of them, because the parent would otherwise wait for their end as well.
    """

    def __init__(self) -> None:
        self._in, self._out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        self._sending = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        if hasattr(os, "register_at_fork"):
            own = (self._in.fileno(), self._out.fileno())
            os.register_at_fork(after_in_child=lambda: [os.dup2(nothing, fd, inheritable=False) for fd in own])

    def send(self, kind: str, content: object = None) -> None:
        """Sends a whole message. Content that cannot be pickled raises before anything is written."""
        data = pickle.dumps((kind, pickle.dumps(content)))
        with self._sending:
            self._out.write(data)
            self._out.flush()

    def receive(self) -> Request | None:
        """Returns the next job, or None where no more will come. Raises EOFError when the parent is gone."""
        request: Request | None = pickle.load(self._in)
        return request


class _Forwarding(logging.Handler):
    """Sends hasten's own warnings to the parent, as the user should see them even where the log is a file."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.send("warning", record.getMessage())


def main() -> None:
    """Works until the parent sends no more jobs. When the parent has died, this process is ended from outside."""
    device, level, channel = sys.argv[1], sys.argv[2], Channel()
    terminated_by_signal()
    when_stuck(end, "A new process goes on without it.")
    _log_to_stderr(channel, level)
    jobs: SimpleQueue[Request | None] = SimpleQueue()
    threading.Thread(target=_take_in, args=(channel, jobs), daemon=True).start()
    try:
        with one_memory():
            _serve(channel, jobs, device)
    except Terminated:
        sys.stderr.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)  # the parent sees from the exit status which signal it was


def _serve(channel: Channel, jobs: SimpleQueue[Request | None], device: str) -> None:
    try:
        channel.send("hello", _hello(device))
    except Exception as error:
        logger.info("does not start", exc_info=error)
        channel.send("unfit", f"{type(error).__name__}: {error}")
        return
    from hasten.measure.failures import free_memory

    while (request := jobs.get()) is not None:
        channel.send("start")
        status, content, sound = _work(channel, request, device)
        free_memory()
        leave_if_asked()  # the end that was asked for may be what made the job fail
        logger.info("%s: %s", status, request[0])
        channel.send("end", (status, content, sound))


def _hello(device: str) -> dict[str, Any]:
    from hasten.measure.environment import environment, environment_key

    if device == AUTO:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = environment(device)
    return {"pid": os.getpid(), "environment": found, "key": environment_key(found)}


def _work(channel: Channel, request: Request, device: str) -> tuple[str, str | bytes, bool]:
    """Returns the status, the reason or the pickled result, and whether the process can take another job.

    After a failed call it can only where the failure was a user's mistake: otherwise memory may have run out, or
    a GPU may be in a permanent error.
    """
    from hasten.measure.failures import reason_of

    name, function, arguments = request
    logger.info("start: %s", name)
    try:
        call = _imported(function)
        result = call(lambda event: channel.send("report", event), device, **pickle.loads(arguments))
    except WriteError as error:
        return "unwritten", str(error), True
    except HastenError as error:
        return "failed", str(error), isinstance(error, InputError)
    except (Exception, SystemExit) as error:
        logger.info("%s", name, exc_info=error)
        return "failed", reason_of(error), False
    try:
        return "done", pickle.dumps(result), True
    except Exception as error:
        logger.info("%s", name, exc_info=error)
        return "failed", f"Its result cannot be sent: {reason_of(error)}", True


def _imported(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


def _take_in(channel: Channel, jobs: SimpleQueue[Request | None]) -> None:
    """Reads jobs in a thread of its own, so that the parent can send one while another is under way."""
    try:
        while (request := channel.receive()) is not None:
            jobs.put(request)
        jobs.put(None)
    except (EOFError, pickle.UnpicklingError, OSError):
        if not GUARDED:
            os._exit(1)


def _log_to_stderr(channel: Channel, level: str) -> None:
    """Sends whatever is printed or logged to standard error, line by line, and the place of a crash.

    At the level ``INFO`` this includes which job was under way when, and the tracebacks of failed ones.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("hasten").addHandler(_Forwarding(channel))
    logger.setLevel(level)
