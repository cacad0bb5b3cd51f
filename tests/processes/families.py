"""Programs for the tests of children: what they do is what their names say. Each prints its numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def tell(*pids: int) -> None:
    print(" ".join(map(str, pids)), flush=True)


def hangs_without_a_word() -> None:
    """The interpreter itself is held up: no signal handler and no thread of it runs."""
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    tell(os.getpid())
    sum(range(10**13))


def has_children_everywhere() -> None:
    """One in its group, one that ignores SIGTERM, one in a session of its own, one whose parent is gone."""
    near = subprocess.Popen([sys.executable, "-c", SLEEP])
    stubborn = subprocess.Popen([sys.executable, "-c", STUBBORN])
    apart = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    how = "stdout=subprocess.DEVNULL, start_new_session=True"
    twice = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], {how})"
    left = subprocess.run([sys.executable, "-c", f"{twice}; print(p.pid)"], stdout=subprocess.PIPE, check=True)
    tell(os.getpid(), near.pid, stubborn.pid, apart.pid, int(left.stdout))
    time.sleep(600)


def ends_as_asked() -> None:
    how = int(sys.argv[2])
    tell(os.getpid())
    if how < 0:
        os.kill(os.getpid(), -how)
    sys.exit(how)


def eats_memory() -> None:
    tell(os.getpid())
    held = []
    while True:
        held.append(bytearray(1 << 24))


def kills_its_guardian() -> None:
    """What it leaves has its own session, holds the pipes, and has started something itself."""
    if pid := os.fork():
        tell(pid)
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    os.setsid()
    subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    time.sleep(600)


def counts() -> None:
    number = 0
    while True:
        number += 1
        tell(number)
        time.sleep(0.01)


def is_a_parent_of_one_that_hangs() -> None:
    """Starts a child by hasten, passes its numbers on, and waits."""
    from hasten.processes import Child

    child = Child([sys.executable, __file__, sys.argv[2]], stdout=subprocess.PIPE)
    assert child.stdout is not None
    told = child.stdout.readline().decode().split()
    tell(child.pid, *map(int, told))
    time.sleep(600)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
