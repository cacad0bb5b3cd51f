"""Stands between a process of hasten and its child, and ends the child with all of its descendants.

It runs as a program of its own (``python -I -S guardian.py SETTINGS COMMAND…``) and uses only the standard
library, so that it starts in milliseconds. The child could not do this itself: while it hangs in foreign code,
none of its handlers and threads may ever run. A parent that is killed by SIGKILL cannot do anything at all.

Orders come through a socket as one byte each, and the guardian sends the byte back once it has obeyed. The last
byte that it sends says that it has ended the family. When the socket is closed, the parent is gone. On Linux the
guardian is the "subreaper" of its descendants: it can still signal and wait for a descendant that leaves its
process group or session, or whose parent dies. Elsewhere it reaches only processes that stay in the child's
process group.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

TERMINATE, KILL, PAUSE, RESUME = b"T", b"K", b"S", b"C"
BURIED = b"B"
SIGNALS = {TERMINATE: signal.SIGTERM, PAUSE: signal.SIGSTOP, RESUME: signal.SIGCONT}
LAST_WORDS_S = 1.0
"""Seconds between SIGTERM and SIGKILL once the parent is gone."""
REAPING_S, MOST_WAIT_S = 2.0, 60.0
SUBREAPER, DEATH_SIGNAL = 36, 1
LINUX = sys.platform == "linux"


class Guardian:
    """One child, and the socket through which orders for it come."""

    def __init__(self, settings: dict[str, Any], command: list[str]) -> None:
        self._orders, self._parent = int(settings["orders"]), int(settings["parent"])
        self._wake, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, lambda number, frame: None)  # it only has to wake the loop up
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        control(SUBREAPER, 1)
        control(DEATH_SIGNAL, signal.SIGUSR1)
        self._kill_at = float("inf")
        self.child = started(command, settings["limits"], self._orders)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # these belong to the child: they must close when it ends
            os.dup2(nothing, stream)

    def watch(self) -> int:
        """Waits until the child has ended. Returns its wait status."""
        sources = select.poll()
        sources.register(self._wake, select.POLLIN)
        sources.register(self._orders, select.POLLIN)
        while (status := self._reaped()) is None:
            wait_s = min(max(self._kill_at - time.monotonic(), 0), MOST_WAIT_S)
            ready = [source for source, _ in sources.poll(1000 * wait_s)]
            if self._wake in ready:
                os.read(self._wake, 512)
            order = self._order() if self._orders in ready else None
            if order == b"":
                sources.unregister(self._orders)
            if order == b"" or os.getppid() != self._parent:
                self._orphaned()
            elif order:
                self._obey(order)
            if time.monotonic() >= self._kill_at:
                self._signal(signal.SIGKILL)
        return status

    def bury(self) -> None:
        """Kills what is left of the family, until there is no process left, or none that can be killed, and tells
        the parent."""
        deadline = time.monotonic() + REAPING_S
        while not self._alone() and time.monotonic() < deadline:
            time.sleep(0.005)
        self._say(BURIED)

    def _alone(self) -> bool:
        self._signal(signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False

    def _order(self) -> bytes:
        try:
            return os.read(self._orders, 1)
        except ConnectionError:
            return b""

    def _obey(self, order: bytes) -> None:
        if order == KILL:
            self._kill_at = 0.0
        else:
            self._signal(SIGNALS[order])
        self._say(order)

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, as the next poll will show
            os.write(self._orders, word)

    def _orphaned(self) -> None:
        if self._kill_at == float("inf"):
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a paused process can act on SIGTERM only after this
            self._kill_at = time.monotonic() + LAST_WORDS_S

    def _reaped(self) -> int | None:
        """Returns the child's status if it has ended. Adopted processes that have ended are waited for, too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if pid == 0:
                return None
            if pid == self.child:
                return status

    def _signal(self, number: int) -> None:
        for pid in descendants(os.getpid()) if LINUX else (-self.child,):
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):  # it has ended; or set-user-ID made it another user's
                continue


def started(command: list[str], limits: dict[str, int], orders: int) -> int:
    """Forks and becomes the command, in its own process group and within the limits. Returns the child's id."""
    guardian = os.getpid()
    if pid := os.fork():
        return pid
    try:
        os.setpgid(0, 0)
        control(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guardian:  # the guardian died before the line above
            os._exit(1)
        os.close(orders)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        for name, value in limits.items():
            lower(getattr(resource, name), value)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def lower(kind: int, value: int) -> None:
    """Sets a resource limit for good, unless the present limit is lower."""
    hard = resource.getrlimit(kind)[1]
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (least, least))


def descendants(ancestor: int) -> list[int]:
    """Returns the ids of all processes below this one."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # the process has ended
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found, open_still = list[int](), [ancestor]
    while open_still:
        new = children.get(open_still.pop(), [])
        found += new
        open_still += new
    return found


def control(option: int, value: int) -> None:
    """Calls ``prctl``, which only Linux has."""
    if not LINUX:
        return
    import ctypes

    ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


def end_like(status: int) -> NoReturn:
    """Ends in the same way as the child did, so that the parent's own ``wait`` reports it."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def main() -> NoReturn:
    guardian = Guardian(json.loads(sys.argv[1]), sys.argv[2:])
    status = guardian.watch()
    guardian.bury()
    end_like(status)


if __name__ == "__main__":
    main()
