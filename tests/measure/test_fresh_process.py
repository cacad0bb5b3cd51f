"""Work in a process of its own: its answer comes whole, whatever is printed, and nothing is left of it on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hasten.errors import InputError, MeasurementError
from hasten.measure.fresh_process import ask

WORK = """
import os, sys, time
print("said while it is imported")
from hasten.errors import InputError, MeasurementError
from hasten.measure.fresh_process import answer
from hasten.records import Bound

def work(given):
    print("said while it works")
    os.write(1, b"said by a library")
    match given["what"]:
        case "answer":
            return Bound(status="met", reason="ä")
        case "input":
            raise InputError("it is wrong")
        case "failure":
            raise MeasurementError("it does not work")
        case "bug":
            return 1 / 0
        case "death":
            os._exit(7)
    open(given["what"], "w").close()
    time.sleep(600)

if __name__ == "__main__":
    answer(work)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return "some_work"


def test_an_answer_comes_whole(module: str) -> None:
    assert ask(module, {"what": "answer"}, "the work")["reason"] == "ä"


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("input", InputError, "it is wrong"),
        ("failure", MeasurementError, "the work fails: it does not work"),
        ("bug", MeasurementError, "the work fails: ZeroDivisionError: division by zero"),
        (
            "death",
            MeasurementError,
            r"The process of the work died \(its process ended with code 7\): it printed last: said by",
        ),
    ],
)
def test_what_goes_wrong_is_told(module: str, what: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        ask(module, {"what": what}, "the work")


@pytest.mark.skipif(sys.platform == "win32", reason="a file of no name is not gone there")
def test_a_process_that_is_killed_leaves_nothing(module: str, tmp_path: Path) -> None:
    given = {"what": str(tmp_path / "at it")}
    asking = f"from hasten.measure.fresh_process import ask; ask({module!r}, {given!r}, '')"
    with subprocess.Popen([sys.executable, "-c", asking]) as parent:
        deadline = time.monotonic() + 120
        while not (tmp_path / "at it").exists():
            assert time.monotonic() < deadline and parent.poll() is None
            time.sleep(0.05)
        os.kill(parent.pid, signal.SIGKILL)
    assert not list((tmp_path / "temporary").iterdir())
