"""A child process that cannot outlive its parent."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from hasten.processes.kin import Kin
from hasten.processes.reading import UntilEnded

GUARDED = os.name == "posix"
"""Whether children have a guardian. Windows has no process groups and signals like these: the child ends alone."""
GUARDIAN = Path(__file__).with_name("guardian.py")
GRACE_S = 5.0
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Keeps Python from importing from the current folder, where a ``struct.py`` would hide the standard library's."""
TERMINATE, KILL, PAUSE, RESUME = b"T", b"K", b"S", b"C"
"""The orders that a guardian understands."""
HINTS = {
    "SIGKILL": "kill -9, or the system was out of memory",
    "SIGPROF": "hasten's own limit of time: it hung in code that Python cannot interrupt",
}
"""What the signals of an end may mean."""
BURIED, MOST_SAID = b"B", 64
"""What it says last, when the child has ended and it has ended the rest of the family."""


class Child:
    """A command in a session of its own, which ends with all of its descendants when this process ends.

    This holds even if this process is killed by SIGKILL, because a guardian process between the two notices it
    (``guardian.py``). If the guardian itself is killed, this process ends the family by its mark in their
    environments (``kin.py``). The return code is that of the command, as ``subprocess`` gives it.

    ``stdout`` and ``stderr`` are at their end when the head of the family has ended, even if somebody still holds
    the pipes (``reading.py``).

    Args:
        command: the program and its arguments.
        environment: the whole environment of the command, to which the family's mark is added; None: the
            environment of this process, and ``SAFE_PATH``.
        limits: resource limits by their name in ``resource``, such as ``RLIMIT_CORE``.
        stdin, stdout, stderr: as ``subprocess.Popen`` takes them.

    Raises:
        OSError: there is no such program, or no process can be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
    ) -> None:
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(2, "No such program", command[0])
        inherited = {**os.environ, **SAFE_PATH} if environment is None else environment
        self._kin = Kin()
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "env": self._kin.marked(inherited)}
        self._orders: socket.socket | None = None
        self._ordering = threading.Lock()
        self._buried = not GUARDED
        self._process: subprocess.Popen[bytes]
        if GUARDED:
            self._guarded(command, limits or {}, streams)
        else:
            alone = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Ctrl-C is for the parent
            self._process = subprocess.Popen([*command], creationflags=alone, **streams)
        self._readers: list[UntilEnded] = []
        self.stdin = self._process.stdin
        self.stdout, self.stderr = (self._reader(p) for p in (self._process.stdout, self._process.stderr))

    def _reader(self, pipe: IO[bytes] | None) -> IO[bytes] | None:
        if pipe is None or not GUARDED:
            return pipe
        self._readers.append(UntilEnded(pipe, self.ended))
        return io.BufferedReader(self._readers[-1])

    def _guarded(self, command: Sequence[str], limits: Mapping[str, int], streams: dict[str, Any]) -> None:
        self._orders, theirs = socket.socketpair()
        self._orders.settimeout(GRACE_S)
        settings = json.dumps({"orders": theirs.fileno(), "parent": os.getpid(), "limits": dict(limits)})
        guardian = [sys.executable, "-I", "-S", str(GUARDIAN), settings]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*guardian, *command], pass_fds=(theirs.fileno(),), start_new_session=True, **streams
                )
            except OSError:
                self._let_go()
                raise

    @property
    def pid(self) -> int:
        """The id of the process at the head of the family: the guardian, where there is one."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The return code: None until it was waited for, and minus the signal's number after a signal ended it."""
        return self._process.returncode

    def ended(self) -> bool:
        """Whether the head of the family has ended."""
        return self._process.poll() is not None

    @property
    def fate(self) -> str:
        """How the command ended, in words; once it was waited for."""
        how = fate_of(self.returncode)
        return how if self._buried else f"something ended the guardian that watches over it: {how}"

    def terminate(self) -> None:
        """Sends SIGTERM to the whole family."""
        self._order(TERMINATE, self._process.terminate)

    def kill(self) -> None:
        """Sends SIGKILL to the whole family."""
        self._order(KILL, self._process.kill)

    def pause(self) -> None:
        """Stops the whole family and returns when that is done. It does so on Linux only, where the family still
        ends with this process."""
        if sys.platform == "linux":
            self._order(PAUSE, lambda: None)

    def resume(self) -> None:
        """Lets a stopped family continue."""
        if sys.platform == "linux":
            self._order(RESUME, lambda: None)

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for the end and returns the return code. Raises subprocess.TimeoutExpired.

        A family without its guardian is ended, too.
        """
        code = self._process.wait(timeout_s)
        self._let_go()
        if not self._buried:
            self._kin.end()
        return code

    def end(self) -> None:
        """Kills the family, waits for it, and closes the pipes to it."""
        self.kill()
        try:
            self.wait(GRACE_S)
        except subprocess.TimeoutExpired:  # someone has stopped the guardian itself
            self._process.kill()
            self.wait()
        for reader in self._readers:
            reader.cut()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # some input was not yet read
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def _order(self, order: bytes, unguarded: Callable[[], None]) -> None:
        """Gives an order. Returns when it was obeyed, or when there is no process left to obey it."""
        with self._ordering:
            if self._process.poll() is not None:
                return
            if self._orders is None:
                unguarded()
                return
            with contextlib.suppress(OSError):  # it is ending, or someone has stopped the guardian
                self._orders.sendall(order)
                self._buried |= self._orders.recv(1) == BURIED

    def _let_go(self) -> None:
        """Hears the last that the guardian had to say, and closes the socket."""
        with self._ordering:
            if self._orders is not None:
                with contextlib.suppress(OSError):  # it could not say anything
                    self._orders.setblocking(False)
                    self._buried |= BURIED in self._orders.recv(MOST_SAID)
                self._orders.close()
                self._orders = None


def fate_of(code: int | None) -> str:
    """Describes how a process ended: ``killed by SIGSEGV``, ``its process ended with code 7``."""
    if code is None or code >= 0:
        return f"its process ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = HINTS.get(name)
    return f"killed by {name} ({hint})" if hint else f"killed by {name}"
