"""A worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from hasten.measure.stuck import GO_ON
from hasten.processes import Child
from hasten.workflow._worker import COMMAND, GRACE_S

Message = tuple["WorkerProcess", Any, bytes]
"""The sender, the kind of message, and its pickled content. The last message of a process is ``gone``."""


class WorkerProcess:
    """A fresh interpreter that works for one device, and ends with this process.

    A thread puts what it sends into ``inbox``, in order. When the process has ended in any way, everything that it
    started has ended as well and the process was waited for, and then the last message is put there.

    The worker gets the parent's search path for modules, but not its main module or its open files. Its standard
    output goes where its standard error goes: to the file ``log``, or to the parent's standard error.
    """

    def __init__(self, device: str, inbox: SimpleQueue[Message], log: Path | None) -> None:
        self.log, self.started = log, time.monotonic()
        with log.open("ab") if log else contextlib.nullcontext() as errors:
            self._process = Child(
                [sys.executable, "-P", "-c", COMMAND, device, "INFO" if log else "WARNING"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._to, self._from = _both(self._process.stdin, self._process.stdout)
        self._over = threading.Event()
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()
        self.send([entry for entry in sys.path if isinstance(entry, str)])

    def send(self, message: object) -> None:
        """Sends a message. For a dead process this does nothing, because the message ``gone`` follows."""
        with contextlib.suppress(BrokenPipeError, ValueError):  # the process is dead, or the pipe is closed
            pickle.dump(message, self._to)
            self._to.flush()

    def end(self, gently: bool) -> None:
        """Asks the process to end: gently by telling it that no job will come, else by SIGTERM to it and all that
        it started."""
        if gently:
            self.send(None)
        else:
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process and all that it started at once."""
        self._process.kill()

    def join(self, timeout_s: float = GRACE_S) -> None:
        """Waits until the process and all that it started have ended, or for ``timeout_s``, as it may hang in a
        driver."""
        self._over.wait(max(timeout_s, 0))

    @property
    def may_go_on(self) -> bool:
        """Whether the process was ended because a plan hung there, which is stored as failed, once it is gone."""
        return GO_ON > 0 and self._process.returncode == -GO_ON

    @property
    def fate(self) -> str:
        """How the process ended, in words, once it is gone."""
        how = self._process.fate
        return f"{how}; see {self.log}" if self.log else how

    def _listen(self, inbox: SimpleQueue[Message]) -> None:
        try:
            while True:
                kind, content = pickle.load(self._from)
                inbox.put((self, kind, content))
        except Exception:  # the process has ended, perhaps in the middle of a message, or sent something else
            self._bury()
        inbox.put((self, "gone", pickle.dumps(None)))

    def _bury(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):  # the process closed the channel and goes on
            self._process.wait(GRACE_S)
        self._process.end()
        self._over.set()


def _both(*pipes: IO[bytes] | None) -> list[IO[bytes]]:
    return [pipe for pipe in pipes if pipe is not None]


def log_file(folder: Path | None, device: str) -> Path | None:
    """Returns the file that collects what the workers of a device print, or None without a folder."""
    return folder / f"worker-{re.sub(r'[^A-Za-z0-9]+', '-', device).strip('-')}.log" if folder else None
