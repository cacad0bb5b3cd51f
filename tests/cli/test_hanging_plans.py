"""A plan that hangs, of a package's own method, ends in a failed trial, and the command goes on by itself.

The methods are real ones, in an installed package. Their calls hang in Python, in C code that lets other threads
run, and in C code that holds Python's global lock, so that this process can do nothing about it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.marks import rarely
from tests.support.packages import REST, installed
from tests.support.tiny_clip import tiny_clip

from hasten.measure.stuck import GO_ON
from hasten.measure.trials import HUNG
from hasten.testing.pipelines import tiny_sd

LIMIT = "8s"
TIMED_OUT = "Time-out: it did not end within the 8 s that a trial may take"
SOON = "from hasten.measure import watchdog\nwatchdog.GRACE_S = 3.0\n"
"""What does not come back after its end is given up earlier than for users, so that the tests need not wait."""
PYTHON = "import time\nHANG = lambda: time.sleep(10**6)\n"
DEADLOCK = """
import ctypes
LIBRARY, MUTEX = ctypes.{}(None), ctypes.create_string_buffer(64)
def HANG():
    LIBRARY.pthread_mutex_lock(MUTEX)
    LIBRARY.pthread_mutex_lock(MUTEX)
"""
"""A thread that waits for a lock which it holds itself. No signal ends that."""
C, LOCKED = DEADLOCK.format("CDLL"), DEADLOCK.format("PyDLL")
PATIENCE_S = 600
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, its scorer, and its prompts."""
    folder = tmp_path_factory.mktemp("models")
    tiny_sd().save_pretrained(folder / "tiny")
    tiny_clip(folder / "clip")
    (folder / "words.txt").write_text("\n".join(("red dog", "blue cat", "red bus", "blue owl")))
    return folder


def house(folder: Path, hang: str) -> dict[str, str]:
    """The environment of a command for which the method ``rest`` is installed, whose interval 3 hangs."""
    method = REST.replace(
        "if self.rests and", "HANG() if self.interval == 3 and self.rests else None\n        if self.rests and"
    )
    installed(
        folder, "hasten-house", {"house_rest": SOON + hang + method}, "[hasten.methods]\nrest = house_rest\n"
    )
    own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "DATA", "CACHE")}
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **own, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def hasten(models: Path, folder: Path, environment: dict[str, str], *words: str) -> Done:
    """A command with few prompts and pairs, and a limit of time for each trial."""
    of_model = ["--scorer", str(models / "clip"), "--prompts", str(models / "words.txt")]
    measured = ["--num-samples", "8", "--pairs", "1", "--height", "64", "--width", "64"]
    kept = ["--storage", str(folder / "trials.db"), "--trial-timeout", LIMIT]
    return subprocess.run(
        [sys.executable, "-m", "hasten", *words, *of_model, *measured, *kept, "--json"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def compared(models: Path, folder: Path, environment: dict[str, str]) -> Done:
    return hasten(models, folder, environment, "compare", "--pipe", str(models / "tiny"), "--steps", "4", *PLANS)


PLANS = ("rest(rest_interval=3)", "rest(rest_interval=2)")


def found(done: Done) -> list[tuple[str, str]]:
    assert done.returncode == 1, done.stderr  # a plan failed
    trials = [plan["trial"] for plan in json.loads(done.stdout)["plans"]]
    return [(trial["status"], trial.get("reason", "")) for trial in trials]


@pytest.mark.parametrize(
    ("hang", "reason", "told"),
    [
        (C, HUNG, "The command begins anew, and goes on without it."),
        pytest.param(PYTHON, TIMED_OUT, "", marks=rarely()),
    ],
    ids=["in C code", "in Python"],
)
def test_the_command_goes_on_without_the_plan(
    models: Path, tmp_path: Path, hang: str, reason: str, told: str
) -> None:
    done = compared(models, tmp_path, house(tmp_path, hang))
    assert found(done) == [("failed", reason), ("ok", "")]
    assert told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.full
def test_what_holds_pythons_lock_is_ended_from_outside_and_not_tried_again(models: Path, tmp_path: Path) -> None:
    environment = house(tmp_path, LOCKED)
    first = compared(models, tmp_path, environment)
    assert first.returncode == -GO_ON == -signal.SIGVTALRM
    assert (
        "its plan is stored as failed. Give the same command again: it goes on without this plan." in first.stderr
    )
    assert first.stdout == ""
    assert found(compared(models, tmp_path, environment)) == [("failed", HUNG), ("ok", "")]


@pytest.mark.full
def test_a_command_whose_baseline_hangs_in_c_code_ends(models: Path, tmp_path: Path) -> None:
    """There is no plan to leave out, so that to begin anew would be in vain."""
    environment = house(tmp_path, "")
    (tmp_path / "sitecustomize.py").write_text(STUCK, encoding="utf-8")
    done = compared(models, tmp_path, environment)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["status"] == "error"
    assert "no plan that could be stored as failed" in document["reason"]


STUCK = (
    C
    + """
import sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "hasten.measure.quality":
            from hasten.measure.pipeline import Pipeline
            Pipeline.draw = lambda *given: HANG()

sys.meta_path.insert(0, Finder())
"""
)
"""Lets the pipeline hang in C code when it draws the baseline, which comes first."""


@pytest.mark.full  # as the command does above
@pytest.mark.parametrize("hang", [LOCKED, C], ids=["with the lock", "C code"])
def test_a_batch_goes_on_without_the_plan(models: Path, tmp_path: Path, hang: str) -> None:
    plain = f'Generate the model "{models / "tiny"}" with DDIM and 4 steps'
    requests = tmp_path / "requests.txt"
    requests.write_text(f"{plain}, accelerated by Rest with rest_interval=3\n{plain}\n")
    words = ("generate", str(requests), "--out", str(tmp_path / "out"), "--no-verify")
    done = hasten(models, tmp_path, house(tmp_path, hang), *words)
    tasks = json.loads(done.stdout)["tasks"]
    assert [task["status"] for task in tasks] == ["failed", "met"], done.stderr
    assert tasks[0]["reason"] == HUNG
    assert done.returncode == 1
