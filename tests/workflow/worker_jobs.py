"""Jobs for the tests of the workers: what they do is what their names say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hasten.errors import InputError, MeasurementError

Report = Callable[[object], None]
FOREVER_S = 600


def where(report: Report, device: str) -> tuple[str, int]:
    return device, os.getpid()


def starts_python(report: Report, device: str) -> int:
    """The code with which it ends; ``-m`` has the current folder searched, unless that is forbidden."""
    return subprocess.run(
        [sys.executable, "-m", "ast", __file__], stdout=subprocess.DEVNULL, check=False
    ).returncode


def count(report: Report, device: str, *, to: int) -> int:
    for number in range(to):
        report(number)
    return to


def raises(report: Report, device: str, *, kind: str) -> None:
    if kind == "input":
        raise InputError("0.5x is no speedup.")
    if kind == "measurement":
        raise MeasurementError("A black image.")
    if kind == "value":
        raise ValueError("shapes differ\nsecond line")
    if kind == "exit":
        sys.exit(3)
    raise MemoryError


def out_of_memory(report: Report, device: str) -> None:
    import torch

    torch.empty(2**50, dtype=torch.uint8)


def dies(report: Report, device: str, *, number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(FOREVER_S)


def leaves(report: Report, device: str, *, code: int) -> None:
    os._exit(code)


def with_child(report: Report, device: str, *, end: int | None = None, stubborn: bool = False) -> None:
    """Starts a child that outlives it unless someone ends it; dies by the signal ``end``, or waits forever."""
    ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if stubborn else ""
    code = f"{ignoring}import time; print('up', flush=True); time.sleep({FOREVER_S})"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout and child.stdout.readline() == b"up\n"
    report((os.getpid(), child.pid))
    if end is not None:
        dies(report, device, number=end)
    time.sleep(FOREVER_S)


def forks(report: Report, device: str) -> None:
    """The fork holds whatever its parent had open."""
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    report(child)
    os.kill(os.getpid(), signal.SIGKILL)


def cleans_up(report: Report, device: str, *, note: str) -> None:
    report("under way")
    try:
        time.sleep(FOREVER_S)
    finally:
        Path(note).write_text("clean")


def swallows(report: Report, device: str) -> None:
    """Nothing short of SIGKILL ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report("under way")
    while True:
        time.sleep(1)


class Slow:
    """A sequence whose only number is long in coming."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> float:
        self._report("under way")
        time.sleep(FOREVER_S)
        return 0.0


def turns_its_end_into_an_error(report: Report, device: str) -> None:
    """Whatever a sequence raises, torch raises ValueError; so it is while it reads the weights of a model."""
    import torch

    torch.tensor(Slow(report), dtype=torch.float32)


def takes_its_end_for_a_failed_plan(report: Report, device: str, *, folder: str) -> None:
    from hasten.measure.failures import PlanError, plan_failures

    try:
        with plan_failures():
            turns_its_end_into_an_error(report, device)
    except PlanError:
        (Path(folder) / "failed").touch()


class Late:
    """Takes long to be finalized; what is raised there is printed and forgotten."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __del__(self) -> None:
        self._report("under way")
        time.sleep(FOREVER_S)


def forgets_its_end(report: Report, device: str) -> str:
    Late(report)
    return "done"


def forgets_its_end_in_a_plan(report: Report, device: str, *, folder: str) -> None:
    from hasten.measure.failures import plan_failures

    with plan_failures():
        Late(report)
    (Path(folder) / "done").touch()


def fails_as_its_child_ends(report: Report, device: str) -> None:
    """Its own end is nothing to it; that it has failed is told before the alarm ends it."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER_S})"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report("under way")
    child.wait()
    signal.alarm(1)
    raise RuntimeError("the child is gone")


def talks(report: Report, device: str) -> str:
    print("printed")
    print("to standard error", file=sys.stderr)
    os.write(1, b"written to the descriptor\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    import logging

    logging.getLogger("transformers.models").warning("a library's warning")
    logging.getLogger("hasten.measure.lock").warning("Another process measures on %s.", device)
    return sys.stdin.read()


def meets(report: Report, device: str, *, folder: str, others: int) -> int:
    """Ends only when so many others are under way at the same time."""
    (Path(folder) / str(os.getpid())).touch()
    while len(list(Path(folder).iterdir())) < others + 1:
        time.sleep(0.02)
    return os.getpid()


class Unreadable:
    """Can be pickled, but not read back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("not here")


def answers(report: Report, device: str, *, what: str) -> object:
    return {"unpicklable": lambda: None, "unreadable": Unreadable()}[what]


def tells(report: Report, device: str, *, what: str) -> str:
    report({"unpicklable": lambda: None, "unreadable": Unreadable()}[what])
    return "told"
