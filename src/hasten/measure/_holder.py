"""The holder of a device's lock, as a file beside the lock tells."""

from __future__ import annotations

import json
import math
import os
import shlex
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from hasten.texts import cleaned, without_secrets

COMMAND_LENGTH = 120


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock.

    Args:
        pid: its process id.
        host: its machine.
        started: when it was started, in seconds since the epoch.
        since: when it took the lock, in seconds since the epoch.
        command: its command, without secrets.
    """

    pid: int
    host: str
    started: float
    since: float
    command: str

    @classmethod
    def here(cls) -> Self:
        """Returns this process, as the holder from now on."""
        command = shlex.join([Path(sys.argv[0] or sys.executable).name, *map(without_secrets, sys.argv[1:])])
        return cls(
            os.getpid(), socket.gethostname(), _started(os.getpid()) or 0.0, time.time(), command[:COMMAND_LENGTH]
        )

    @classmethod
    def of(cls, lock: Path) -> Self | None:
        """Returns the holder of a lock file, or None where none is named or the file cannot be read."""
        try:
            return cls(**json.loads(_place(lock).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, lock: Path) -> None:
        """Writes the holder beside the lock file; without space on the disk, no holder is named."""
        draft = _place(lock).with_suffix(f".{self.pid}.tmp")
        try:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
            draft.replace(_place(lock))
        except OSError:
            draft.unlink(missing_ok=True)
            self.forget(lock)

    @staticmethod
    def forget(lock: Path) -> None:
        _place(lock).unlink(missing_ok=True)

    @property
    def dead(self) -> bool:
        """Whether the process has surely ended. Nothing is sure about a process on another machine."""
        if self.host != socket.gethostname():
            return False
        started = _started(self.pid)
        return started is None or abs(started - self.started) > 2

    def __str__(self) -> str:
        """Returns text such as ``process 4711 (hasten verify x.py), since 10:32:05``."""
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        where = "" if self.host == socket.gethostname() else f" on {cleaned(self.host)}"
        return f"process {self.pid}{where} ({cleaned(self.command)}), since {since}"


def _place(lock: Path) -> Path:
    return lock.with_suffix(".holder")


def _started(pid: int) -> float | None:
    """Returns when a process was started; None where it does not run."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # the process is another user's, and runs
        return math.nan
