"""The store on a real PostgreSQL: a fresh database, one that goes away, and names that SQLite alone would take."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.landscape import SETTING, loss, trial
from tests.support.postgres import Postgres, server

from hasten.errors import StoreError
from hasten.limits import Limits
from hasten.plan import Plan
from hasten.records import Bound, EqualTime
from hasten.store import Store
from hasten.store.database import open_database

PLAN = Plan.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})
SEARCH = Path(__file__).parent.parent / "search" / "killed_search.py"
PATIENCE_S = 300
WRITES = """
import sys
from hasten.store import Store
from tests.support.landscape import SETTING, trial
with Store(sys.argv[1], SETTING, {}) as kept:
    for number in range(1, 21):
        kept.add(trial(plan=f"tome(ratio=0.{number})", reason=sys.argv[2]))
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Postgres]:
    with server() as found:
        yield found


@pytest.fixture
def postgres(running: Postgres) -> Postgres:
    """The server, with an empty database."""
    running.clear()
    return running


def start(*words: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *words], env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def test_a_fresh_database_is_opened_by_several_processes_at_once(postgres: Postgres) -> None:
    processes = [start("-c", WRITES, postgres.url, str(number)) for number in range(4)]
    said = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert kept_trials(postgres) == 80


def test_long_names_are_kept(postgres: Postgres) -> None:
    long = Plan.of({"schedule": {"full_steps": "+".join(map(str, range(300)))}})
    setting = replace(SETTING, model="/models/" + "m" * 600, steps=300)
    many = Limits({f"metric{n}": 0.02 for n in range(99)})
    with Store(postgres.url, setting, {}) as kept:
        kept.add(trial(reason="x" * 100_000))
        kept.keep_equal_time(long, EqualTime(steps=9, trial=trial()))
        kept.keep_bound(("deepcache",), many, 32, Bound(status="met", plan=str(PLAN)))
    with Store(postgres.url, setting, {}) as kept:
        found, bound = kept.equal_time(long), kept.bound(("deepcache",), many, 32)
        assert [one.reason for one in kept.history(PLAN)] == ["x" * 100_000]
    assert found is not None and found.steps == 9
    assert bound is not None and bound.plan == PLAN


def test_a_server_that_comes_back_soon_is_waited_for(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hasten.store._faults.PATIENCE_S", PATIENCE_S)
    with Store(postgres.url, SETTING, {}) as kept:
        kept.add(trial())
        postgres.stop()
        back = threading.Timer(1.0, postgres.start)
        back.start()
        kept.add(trial(losses={"clip_score": loss(0.01)}))
        back.join()
        assert len(kept.history(PLAN)) == 2


def test_a_server_that_stays_away_is_told_and_the_trial_kept_for_later(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hasten.store._faults.PATIENCE_S", 0.0)
    with Store(postgres.url, SETTING, {}) as kept:
        kept.add(trial())
        postgres.stop()
        with pytest.raises(StoreError, match="can no longer be read or written"):
            kept.history(PLAN)
        with pytest.raises(StoreError, match=r"The trial just measured is kept in .*hasten-trials-\w+\.json"):
            kept.add(trial(losses={"clip_score": loss(0.01)}))
        postgres.start()
    with Store(postgres.url, SETTING, {}) as kept:
        assert [one.losses for one in kept.history(PLAN)][1:] == [{"clip_score": loss(0.01)}]


@pytest.mark.full  # the store alone does so above, and test_killed.py goes on
def test_a_search_whose_server_stops_ends_in_a_sentence_and_goes_on_later(postgres: Postgres) -> None:
    first = start(str(SEARCH), postgres.url)
    until_kept(postgres, 2, first)
    postgres.stop()
    _, said = first.communicate(timeout=PATIENCE_S)
    assert first.returncode and "StoreError: The store of trials" in said
    assert "is kept in" in said or "can no longer be read or written" in said
    postgres.start()
    before = kept_trials(postgres)
    again = start(str(SEARCH), postgres.url)
    output, said = again.communicate(timeout=PATIENCE_S)
    assert (again.returncode, output.split()) == (0, ["met"]), said
    assert kept_trials(postgres) > before >= 2


def until_kept(postgres: Postgres, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while kept_trials(postgres) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def kept_trials(postgres: Postgres) -> int:
    storage = open_database(postgres.url)
    return sum(storage.get_n_trials(study._study_id) for study in storage.get_all_studies())
