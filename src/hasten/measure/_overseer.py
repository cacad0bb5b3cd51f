"""Ends its parent where a measurement there has hung for so long that the parent itself should have ended it.

It runs as a program of its own (``python -I -S _overseer.py PARENT``) and uses only the standard library. C code
that hangs with Python's global lock stops all threads of its process, so that none of them can do anything about
it. Each line of standard input is what the parent says last of what is under way, in JSON: ``left_s`` seconds
until its end (null for nothing under way), the command ``keeps`` that stores the failed trial, ``kept`` and
``lost``, the sentences for people, and the signals ``go_on`` and ``give_up`` that end the parent, or 0 where it is
left alone. At the end of the input the parent has ended, and so does this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TICK_S, KEEPING_S = 1.0, 120.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    parent, pending, said, left_s = int(sys.argv[1]), b"", dict[str, Any](), float("inf")
    while os.getppid() == parent:
        began = time.monotonic()
        if select.select([0], [], [], TICK_S)[0]:
            pending += (read := os.read(0, 1 << 16))
            if not read:
                return
            *lines, pending = pending.split(b"\n")
            if lines:
                said = json.loads(lines[-1])
                left_s = float("inf") if said["left_s"] is None else said["left_s"]
            continue
        # A process that is stopped does not hang, and neither does one that was stopped together with this one.
        left_s -= 0.0 if stopped(parent) else min(time.monotonic() - began, 2 * TICK_S)
        if left_s <= 0:
            end(parent, said)
            left_s = float("inf")


def stopped(pid: int) -> bool:
    """Returns whether a process is stopped, as by Ctrl-Z. This is known on Linux only."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "Tt"
    return False


def end(parent: int, said: dict[str, Any]) -> None:
    """Has the trial stored, tells what happened, and ends the parent."""
    kept = bool(said["keeps"]) and stored(said["keeps"])
    with contextlib.suppress(OSError):  # nobody reads standard error any more
        os.write(2, f"\n{said['kept' if kept else 'lost']}\n".encode())
    if (number := said["go_on" if kept else "give_up"]) and os.getppid() == parent:
        os.kill(parent, number)


def stored(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=KEEPING_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


if __name__ == "__main__":
    main()
