"""Nothing foreign steers the terminal: names, reasons, files of others."""

from __future__ import annotations

import json

import pytest
from tests.support.examples import answer_of, plan_of, trial_of

from hasten.cli import show
from hasten.cli.live import Live
from hasten.cli.out import say, say_json
from hasten.errors import HastenError
from hasten.task import Task
from hasten.workflow.batch import BatchAnswer, BatchProgress

BAD = "\x1b]0;owned\x07\x1b[2J\x9b31mred\u202e"
"""Sets the window's title, clears the screen, turns what follows around."""


def steers(text: str) -> bool:
    return any(c in text for c in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e", "owned"))


def test_lines_errors_and_notes_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a {BAD} b")
    show.note(f"waiting for {BAD}")
    show.error(HastenError(f"it fails: {BAD}"), as_json=True)
    printed = capsys.readouterr()
    assert not steers(printed.out) and not steers(printed.err)
    assert printed.out.startswith("a red b\n") and "it fails: red" in printed.err


def test_an_answer_and_a_table_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """As they may come from the files of somebody else."""
    answer = answer_of(plan_of("deepcache"), reason=BAD, warnings=(BAD,), script=f"/tmp/{BAD}.py", report=BAD)
    show.answer(answer)
    show.table([{"plan": BAD, "list": [BAD, 1]}])
    printed = capsys.readouterr()
    assert not steers(printed.out) and not steers(printed.err) and "red" in printed.out


def test_what_goes_on_in_a_batch_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    one = BatchAnswer(name=BAD, request=BAD, status="failed", reason=BAD)
    with Live() as live:
        live.update(BatchProgress("generate", 1, done=(one,), notes=(BAD,)))
    assert not steers(capsys.readouterr().err)


def test_json_keeps_what_it_says_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"reason": f"{BAD} ü 完成", "trial": trial_of(plan_of("tome")).model_dump(mode="json")}
    say_json(data)
    printed = capsys.readouterr().out
    assert json.loads(printed) == data and "ü 完成" in printed
    assert not any(c in printed for c in ("\x1b", "\x07", "\x9b", "\u202e"))


def test_a_task_with_a_strange_model_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    show.task(Task(model=f"folder/{BAD}", scheduler="DDIM", steps=5, methods=()))
    assert not steers(capsys.readouterr().out)
