"""Finds the processes of a family by a mark in their environments, also where nobody is left who guards them.

A process that leaves its session and whose parents are all dead cannot be told from any other by its place in the
tree of processes. Its environment still shows where it comes from, because it is inherited. This works on Linux
only, and not for a process that was started with another environment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

NAME = "HASTEN_FAMILY"
SWEEPING_S, PAUSE_S = 2.0, 0.005


class Kin:
    """The processes that carry one mark.

    The mark follows those of the families that this process belongs to itself, so that these find their
    descendants' families, too.
    """

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)

    def marked(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the environment with the mark."""
        before = os.environ.get(NAME)
        return {**environment, NAME: f"{before}:{self._mark}" if before else self._mark}

    def end(self) -> None:
        """Kills all of them, until there is none left, or none that can be killed."""
        deadline = time.monotonic() + SWEEPING_S
        while (left := [*self._alive()]) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(PAUSE_S)

    def _alive(self) -> Iterator[int]:
        """Yields their ids. The environment of a process that has ended is empty."""
        if sys.platform != "linux":
            return
        mark = self._mark.encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended, or is another user's
                    if any(mark in entry for entry in _entries(folder) if entry.startswith(NAME.encode())):
                        yield int(folder.name)


def _entries(folder: Path) -> list[bytes]:
    return (folder / "environ").read_bytes().split(b"\0")
