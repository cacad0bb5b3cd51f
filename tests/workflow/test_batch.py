"""A batch that is stopped, by Ctrl-C or by kill -9: no process is left, what was done is kept, and it goes on.

The stopped ones are left to ``make test-full``: test_generate.py runs a batch again after a kill, and
test_workers.py has what becomes of the processes.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support.batches import Place, alive, asked, children, made_place, until
from tests.support.examples import trial_of
from tests.support.landscape import latency, trial

from hasten.answer import Answer
from hasten.cli.many import _finish
from hasten.errors import InputError
from hasten.language.render import render
from hasten.plan import Plan
from hasten.records import EqualTime
from hasten.task import Task
from hasten.workflow.batch import Batch, BatchAnswer, BatchEntry, BatchProgress, batch_of, exit_code, in_order
from hasten.workflow.generate import write_report

WORDS = ("run", "--tasks", "list.txt", "--out", "out", "--no-verify")
TASKS = [asked(branch=branch) for branch in (3, 2)]


@dataclass
class Stopped:
    """What a stopped batch left."""

    place: Place
    code: int
    errors: str
    left: list[int]
    answers: dict[str, int]
    report: dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if not Path("/proc/self/task").exists():
        pytest.skip("finds processes by /proc")
    with made_place(tmp_path_factory.mktemp("batch")) as place:
        place.write("list.txt", "\n".join(map(render, TASKS)))
        yield place


def _stopped(place: Place, number: signal.Signals) -> Stopped:
    """The list, stopped in the middle of the second task."""
    with place.started(*WORDS) as process:
        begun = place.starts("out")
        until(lambda: place.starts("out") == begun + len(TASKS))
        workers = children(process.pid)
        assert len(workers) == 1 and alive(workers[0])
        process.send_signal(number)
        _, errors = process.communicate()
    until(lambda: number != signal.SIGKILL or not any(map(alive, workers)))
    left = [pid for pid in workers if alive(pid)]
    report = place.read("out/generation_report.json")
    return Stopped(place, process.returncode, errors, left, place.answers("out"), report)


@pytest.fixture(scope="module")
def interrupted(place: Place) -> Stopped:
    return _stopped(place, signal.SIGINT)


@pytest.fixture(scope="module")
def killed(interrupted: Stopped) -> Stopped:
    return _stopped(interrupted.place, signal.SIGKILL)


@pytest.fixture(scope="module")
def completed(killed: Stopped) -> subprocess.CompletedProcess[str]:
    return killed.place.measure(*WORDS)


@pytest.mark.full
def test_control_c_leaves_no_process_and_keeps_what_was_done(interrupted: Stopped) -> None:
    assert interrupted.code == 130 and interrupted.left == []
    assert "the same command goes on from there" in interrupted.errors
    assert "Traceback" not in interrupted.errors
    (answered,) = interrupted.report["tasks"]
    assert answered["number"] == 1 and answered["name"] in interrupted.answers
    assert interrupted.report["left"] == 1 and interrupted.report["counts"]["failed"] == 0


@pytest.mark.full
def test_kill_9_of_the_parent_does_so_too(interrupted: Stopped, killed: Stopped) -> None:
    assert killed.code == -signal.SIGKILL and killed.left == []
    assert killed.answers.items() >= interrupted.answers.items()
    assert killed.report == interrupted.report


@pytest.mark.full
def test_the_same_command_completes_it(killed: Stopped, completed: subprocess.CompletedProcess[str]) -> None:
    place = killed.place
    assert completed.returncode == 0, completed.stderr
    assert len(completed.stdout.splitlines()) == 1 + len(TASKS)
    assert len(place.answers("out")) == len(TASKS) and place.answers("out").items() >= killed.answers.items()
    report = place.read("out/generation_report.json")
    assert [task["request"] for task in report["tasks"]] == [render(task) for task in TASKS]
    assert (report["left"], report["counts"]["infeasible"], report["counts"]["failed"]) == (0, 0, 0)
    assert set(place.measured().values()) == {1}, "nothing was measured twice"
    assert not [path for path in (place.folder / "out").rglob("*") if path.name.endswith((".tmp", ".damaged"))]


def known(task: Task, number: int, status: Any = "met", **changes: Any) -> BatchEntry:
    answer = Answer(status=status, task=task, **changes)
    return BatchEntry(f"task-{number}", "words", task, number=number, answer=answer)


def settled(folder: Path, *entries: BatchEntry, devices: tuple[str, ...] = ("cpu",)) -> list[BatchAnswer]:
    return list(Batch(folder, {}, devices).answer_all("generate", entries))


def test_exit_codes(tmp_path: Path) -> None:
    met, likely, infeasible, failed, refuted, undecided = settled(
        tmp_path,
        known(TASKS[0], 1),
        known(TASKS[0], 2, "likely"),
        known(TASKS[0], 3, "infeasible", reason="too much"),
        known(TASKS[0], 4, "failed", reason="no memory"),
        known(TASKS[0], 5, "likely", verified=False),
        known(TASKS[0], 6, "undecided", reason="too little time"),
    )
    assert exit_code([]) == exit_code([met, likely]) == 0
    assert exit_code([met, infeasible]) == 3
    assert exit_code([undecided, infeasible, failed]) == exit_code([met, refuted]) == 1
    assert exit_code([met, undecided]) == exit_code([infeasible, undecided]) == 4
    held = [one.held for one in (met, likely, infeasible, failed, refuted, undecided)]
    assert held == [True, True, False, False, False, False]
    assert refuted.status == "failed", "a script that a fresh process refuted"


def test_what_is_known_or_faulty_needs_no_worker_and_is_told_as_it_comes(tmp_path: Path) -> None:
    told: list[BatchProgress] = []
    entries = [known(TASKS[0], 2), BatchEntry("", "what", None, "It is no request.", number=1)]
    found = list(Batch(tmp_path, {}, ("cpu",), told.append).answer_all("generate", entries))
    assert [one.number for one in found] == [2, 1] and [one.number for one in in_order(found)] == [1, 2]
    assert [(len(s.done), s.total, s.running) for s in told] == [(1, 2, {}), (2, 2, {})]
    assert found[1].status == "failed" and found[1].reason == "It is no request." and found[1].answer is None
    assert not list((tmp_path / "logs").iterdir())


def test_an_infeasible_answer_shows_the_figures_of_the_best(tmp_path: Path) -> None:
    best = Answer(status="met", task=TASKS[0], confirmed=trial(latency=latency(1.5)))
    (found,) = settled(tmp_path, known(TASKS[0], 1, "infeasible", reason="100x is out of reach", best=best))
    assert (found.speedup, found.plan, found.held) == (1.5, str(best.plan), False)
    assert str(found.target) == "3600 s an image" and found.reason == "100x is out of reach"


def test_a_device_that_cannot_be_used_fails_every_task_with_the_reason(tmp_path: Path) -> None:
    entries = [BatchEntry(f"task-{n}", "words", task, number=n) for n, task in enumerate(TASKS)]
    found = settled(tmp_path, *entries, devices=("nonsense",))
    assert [one.status for one in found] == ["failed"] * len(TASKS)
    assert all("No device can be used. nonsense:" in one.reason for one in found)


def test_devices_and_folder_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    entry = BatchEntry("", "what", None, "It is no request.")
    with pytest.raises(InputError, match="each once"):
        settled(tmp_path / "out", entry, devices=("cpu", "cpu"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot be written"):
        batch_of("/dev/null/out", {}, ("cpu",), None)
    with pytest.raises(InputError, match="num_samples is 2"):
        batch_of(tmp_path / "out", {"num_samples": 2}, ("cpu",), None)


def test_the_chosen_device_is_used_unless_several_are_named(tmp_path: Path) -> None:
    assert batch_of(tmp_path, {"device": "cuda:1"}, ("auto",), None).devices == ("cuda:1",)
    assert batch_of(tmp_path, {"device": "cuda:1"}, ("cuda:0", "cuda:2"), None).devices == ("cuda:0", "cuda:2")
    assert batch_of(tmp_path, {}, ("auto",), None).devices == ("auto",)
    assert not list(tmp_path.iterdir())


def test_warnings_and_equal_time_stand_in_report_manifest_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan that loses to fewer steps says so wherever its script is named."""
    fewer = EqualTime(steps=6, trial=trial_of(Plan(), 1.9, steps=6), plan_loses=("ssim",))
    found = {"verified": True, "outcome": "not refuted", "equal_time": fewer, "warnings": ("restless",)}
    script = tmp_path / "scripts" / "task-1.py"
    (one,) = settled(tmp_path, known(TASKS[0], 1, "likely", script=str(script), plan="tome", **found))
    write_report([one], tmp_path)
    (entry,) = json.loads((tmp_path / "generation_report.json").read_text())["tasks"]
    (listed,) = json.loads((tmp_path / "manifest.json").read_text())
    losses = {metric: loss.loss for metric, loss in fewer.trial.losses.items()}
    told = {"steps": 6, "speedup": 1.9, "losses": losses, "plan_loses": ["ssim"], "says": ""}
    for kept in (entry, listed["claim"]):
        assert kept["equal_time"] == told
        assert (kept["outcome"], kept["warnings"], kept["verified"]) == ("not refuted", ["restless"], True)
    with pytest.raises(typer.Exit):
        _finish({"tasks": [one]}, tmp_path, json=False)
    printed = capsys.readouterr()
    assert "not refuted" in printed.out and "6 steps 1.90x, better on ssim" in printed.out
    assert "task-1: restless" in printed.err
