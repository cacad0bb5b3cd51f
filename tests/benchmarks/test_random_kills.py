"""Commands that are killed at random moments lose and leave nothing, and come to their end when given again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.random_kills import half_written, one_round, repeated
from tests.support.landscape import loss, trial
from tests.support.marks import rarely


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process that hangs cannot be told of the death")
@pytest.mark.parametrize(
    "command", [pytest.param("search", marks=rarely()), pytest.param("generate", marks=rarely())]
)
def test_a_command_killed_at_a_random_moment_is_done_later(command: str) -> None:
    done = one_round(command, None, [9.0])
    assert done.faults == []
    assert done.kept


def test_what_a_kill_could_leave_is_found(tmp_path: Path) -> None:
    """Otherwise a count of no faults would say nothing."""
    (tmp_path / "whole.json").write_text("{}")
    (tmp_path / "half.json").write_text('{"a": ')
    (tmp_path / "half.py").write_text("print(")
    (tmp_path / "half.html").write_text("<html><body>")
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n")
    found = sorted(fault.split()[0] for fault in half_written(tmp_path))
    assert found == ["half.html", "half.json", "half.png", "half.py"]


def test_a_trial_that_tells_more_is_no_second_one() -> None:
    few, more = trial(losses={"clip_score": loss(0.01, samples=8)}), trial(losses={"clip_score": loss(0.01)})
    kept = [f"study\n{json.dumps(one.model_dump(mode='json'))}" for one in (few, more)]
    assert repeated(kept) == [] and len(repeated([*kept, kept[0]])) == 1
    assert repeated([kept[0], kept[0].replace("study", "other")]) == []
