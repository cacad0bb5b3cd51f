"""Bounds of a matrix, from Python: what is told meanwhile, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.batches import HUGE, TINY, Place, made_place

from hasten import api
from hasten.errors import InputError
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.search_params import SearchParams
from hasten.workflow.batch import BatchAnswer, BatchProgress
from hasten.workflow.matrix import Matrix

MARGIN = 1.1
CELLS = Matrix.of(models="emoji-sd", schedulers="DDIM", steps=2, methods="deepcache")


@dataclass
class Ran:
    place: Place
    found: list[BatchAnswer]
    told: list[BatchProgress]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Two cells; in the first one a budget of one trial, the second one fits no memory."""
    told: list[BatchProgress] = []
    with made_place(tmp_path_factory.mktemp("explore")) as place:
        cells = {"models": [TINY, HUGE], "schedulers": "DDIM", "steps": 2, "methods": "deepcache"}
        found = api.explore(
            {**cells, "max_loss": [{"ssim": 1.0}]},
            out="out",
            device="cpu",
            margin=MARGIN,
            tell=told.append,
            num_samples=8,
            pairs=1,
            max_trials=1,
            storage="trials.db",
            prompts="prompts.txt",
        )
        yield Ran(place, found, told)


@pytest.mark.full  # test_batch_commands.py has bounds of a matrix
def test_the_standing_tells_what_is_done_running_and_left(ran: Ran) -> None:
    assert {(standing.stage, standing.total) for standing in ran.told} == {("explore", 2)}
    assert {device for standing in ran.told for device in standing.running} == {"cpu"}, "the one that was chosen"
    counts = [len(standing.done) for standing in ran.told]
    assert counts == sorted(counts) and set(counts) == {0, 1, 2}
    assert ran.told[0].left_s is None and ran.told[-1].left_s == 0 and ran.told[-1].running == {}
    (between,) = {s.left_s for s in ran.told if len(s.done) == 1}
    assert between is not None and between > 0
    stages = {progress.stage for s in ran.told for _, progress in s.running.values() if progress}
    assert stages >= {"search", "confirm", "compare"}


@pytest.mark.full  # test_batch_commands.py has bounds of a matrix
def test_a_bound_is_written_with_its_margin_and_that_a_budget_cut_it_short(ran: Ran) -> None:
    """One trial of four plans: on a busy machine it may be no faster than the baseline, which is a reason then."""
    bounds = Bounds.read(ran.place.folder / "out/speedup_bounds.json")
    plans = SearchParams.read(ran.place.folder / "out/search_params.json").entries
    one, other = ran.found
    assert one.answer is not None and one.speedup is not None
    entry = bounds.find(one.answer.task)
    assert entry is not None and entry.complete is False
    highest = one.speedup * MARGIN if one.held else None
    assert (entry.max_speedup, entry.plan) == (highest, one.plan if one.held else "")
    assert "the budget was used up" in one.reason or "1 trials, which is not all of the grid" in entry.reason
    assert {str(stored.plan) for stored in plans if stored.speedup == one.speedup} == {one.plan}
    assert (other.status, other.speedup) == ("failed", None) and "GiB of memory to be decoded" in other.reason


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_that_is_none_is_told_at_once(tmp_path: Path, margin: float) -> None:
    with pytest.raises(InputError, match="margin is"):
        api.explore(CELLS, out=tmp_path / "out", margin=margin)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["[]", "{damaged", '"text"'])
def test_a_file_that_cannot_be_added_to_is_told_at_once_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "speedup_bounds.json").write_text(text)
    with pytest.raises(InputError, match=r"speedup_bounds\.json"):
        api.explore(CELLS, out=tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == [text]
