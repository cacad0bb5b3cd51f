"""Trials of other schedulers as hints: a search reads the newest few, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import event
from tests.support.landscape import SETTING, Landscape, loss, trial

from benchmarks import store as benchmark
from hasten.limits import Limits
from hasten.predict.space import Space
from hasten.search.judge import Goal
from hasten.search.options import SearchOptions
from hasten.search.session import HINTS, Session
from hasten.store import Store
from hasten.store import trials as store_trials
from hasten.store.database import MEMORY
from hasten.store.memory import one_memory

OTHER = replace(SETTING, scheduler="UniPC")
METHODS = ("deepcache",)
OPCODES = 1000
"""After how many of its instructions SQLite is asked to count them."""


def plan(interval: int, branch: int = 0) -> str:
    return f"deepcache(cache_branch_id={branch},cache_interval={interval})"


@pytest.fixture(params=["file", MEMORY])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with one_memory():
        yield MEMORY if request.param == MEMORY else str(tmp_path / "trials.db")


@contextmanager
def documents() -> Iterator[list[str]]:
    """The trials that are read meanwhile."""
    read: list[str] = []

    def note(kind: type, text: str, *where: str) -> object:
        read.append(text)
        return kind.model_validate_json(text)  # type: ignore[attr-defined]

    with patch.object(store_trials, "read", note):
        yield read


def instructions(path: str) -> int:
    """How many thousands of instructions SQLite takes to find the hints in a file."""
    with Store(path, benchmark.SETTING, {}) as kept:
        kept.find(benchmark.PLAN)
        counted: list[int] = []

        def count(connection: object, *_: object) -> None:
            connection.set_progress_handler(lambda: counted.append(1), OPCODES)  # type: ignore[attr-defined]

        event.listen(kept._storage.engine, "checkout", count)
        assert len(kept.trials_of_similar_settings(METHODS, HINTS)) == HINTS
        return len(counted)


def test_the_newest_of_each_plan_are_read_and_no_others(place: str) -> None:
    with Store(place, OTHER, {}) as other:
        for interval in (2, 3, 4, 5):
            other.add(trial(plan(interval), losses={"clip_score": loss(0.5, samples=8)}))
        other.add(trial(plan(2)))
        other.add(trial(plan(5), split="held-out"))
        other.add(trial(plan(3), status="failed", reason="NaN"))
        other.add(trial(plan(4), status="skipped", reason="too slow"))
    with Store(place, SETTING, {}) as kept, documents() as read:
        found = kept.trials_of_similar_settings(METHODS, 3)
        assert [(str(t.plan), t.losses["clip_score"].samples) for t in found] == [
            (plan(2), 32),
            (plan(5), 8),
            (plan(4), 8),
        ]
        assert len(read) == 3


def test_all_settings_together_give_no_more_than_asked_for(place: str) -> None:
    for number, steps in enumerate((10, 20, 50)):
        with Store(place, replace(OTHER, steps=steps), {}) as other:
            for interval in (2, 3):
                other.add(trial(plan(interval, branch=number)))
    with Store(place, SETTING, {}) as kept:
        found = kept.trials_of_similar_settings(METHODS, 4)
    assert [str(t.plan) for t in found] == [plan(3, 2), plan(2, 2), plan(3, 1), plan(2, 1)]


def test_thousands_of_trials_cost_what_a_few_thousand_cost(tmp_path: Path) -> None:
    cost = {}
    for count in (8_000, 24_000):
        path = str(tmp_path / f"{count}.db")
        benchmark.fill(path, "scheduler", count)
        cost[count] = instructions(path)
    assert 0 < cost[24_000] <= 1.1 * cost[8_000]


@pytest.mark.parametrize("storage", ["file", MEMORY])
def test_of_thousands_of_trials_a_search_reads_its_share(storage: str, tmp_path: Path) -> None:
    with one_memory():
        url = MEMORY if storage == MEMORY else str(tmp_path / "trials.db")
        benchmark.fill(url, "scheduler", 5_000)
        with Store(url, benchmark.SETTING, {}) as kept, documents() as read:
            found = kept.trials_of_similar_settings(METHODS, HINTS)
        assert len(read) == len({t.plan for t in found}) == HINTS


def test_each_space_has_its_share_of_the_hints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hasten.search.session.HINTS", 4)
    ratios = [f"tome(max_downsample=1,ratio=0.{n},sx=2,sy=2)" for n in (1, 3, 5)]
    with Store(str(tmp_path / "trials.db"), OTHER, {}) as other:
        for text in (*ratios, "deepcache(cache_branch_id=0,cache_interval=77)", *map(plan, (2, 3, 4, 5))):
            other.add(trial(text))
    bench = Landscape(lambda plan: 1.0, lambda plan: 0.0)
    spaces = [Space(["deepcache"]), Space(["tome"])]
    with Store(str(tmp_path / "trials.db"), SETTING, {}) as kept:
        session = Session(bench, kept, Goal(Limits({"clip_score": 0.02})), SearchOptions(), spaces=spaces)
        found = [str(t.plan) for t in session.trials_of_similar_settings]
    assert found == [plan(5), ratios[2], plan(4), ratios[1]]
