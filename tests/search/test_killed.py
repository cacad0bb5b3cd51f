"""kill -9 in the middle of a search, and once more: what was finished is there, once, and the search goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support.marks import rarely

from hasten.records import Trial
from hasten.store.database import open_database

HERE = Path(__file__).parent
PATIENCE_S = 120
PLANS = 8


def _start(storage: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(HERE / "killed_search.py"), str(storage)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _kept(storage: Path) -> dict[int, str]:
    """The trials in the database, by number: their JSON with the time at which they were finished."""
    if not storage.exists():
        return {}
    kept = open_database(str(storage))  # waits while the searching process creates the tables
    trials = [t for study in kept.get_all_studies() for t in kept.get_all_trials(study._study_id)]
    assert all(t.state.is_finished() for t in trials)
    return {t.number: f"{t.datetime_complete} {t.user_attrs['trial']}" for t in trials}


def _kill_after(storage: Path, count: int) -> dict[int, str]:
    """Starts a search and kills it as soon as ``count`` trials are kept."""
    process = _start(storage)
    deadline = time.monotonic() + PATIENCE_S
    while len(_kept(storage)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    return _kept(storage)


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=rarely())])
def test_killed_nothing_is_lost_or_measured_twice(kills: int, tmp_path: Path) -> None:
    storage = tmp_path / "trials.db"
    before: dict[int, str] = {}
    for _ in range(kills):
        after = _kill_after(storage, len(before) + 1)
        assert after.items() >= before.items()
        before = after
    assert len(before) < PLANS
    process = _start(storage)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert output.split() == ["met"]
    after = _kept(storage)
    assert after.items() >= before.items()
    trials = [Trial.model_validate_json(text.split(" ", 2)[2]) for text in after.values()]
    # a plan that was only timed may be timed anew, or scored, when the confirmed one is slower than it seemed
    scored = Counter((trial.plan, trial.split) for trial in trials if trial.status == "ok")
    assert set(scored.values()) == {1}
    assert len({trial.plan for trial in trials if trial.split == "search"}) == PLANS
    assert 1 <= sum(split == "held-out" for _, split in scored) <= 4
