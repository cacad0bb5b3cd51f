"""The lists of steps that cost least: against all lists, and in a search."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from random import Random

import pytest
from tests.support.landscape import Landscape
from tests.support.pipelines import tiny_sd
from tests.support.tiny_clip import tiny_clip

from hasten.errors import InputError
from hasten.measure.bench import Bench
from hasten.measure.sensitivity import Sensitivity
from hasten.plan import Plan, Value, steps_of
from hasten.predict.space import Space
from hasten.search import run_search
from hasten.search.options import SearchOptions
from hasten.search.progress import Progress
from hasten.search.schedules import least_costly, measured_grids, newly_measured
from hasten.store import Store
from hasten.task import Task

Costs = tuple[tuple[float, ...], ...]


def costs(steps: int, seed: int) -> Costs:
    """Any costs at all: least_costly takes none of their properties for granted."""
    rng = Random(seed)
    return tuple((0.0, *(rng.random() for _ in range(steps - 1 - step))) for step in range(steps))


def total(found: Costs, steps: tuple[int, ...]) -> float:
    return sum(found[step][following - step - 1] for step, following in pairwise((*steps, len(found))))


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_list_of_the_same_length_costs_less(steps: int, seed: int) -> None:
    found = costs(steps, seed)
    lists = least_costly(found)
    assert [len(one) for one in lists] == list(range(steps, 0, -1))
    for one in lists:
        others = ((0, *rest) for rest in combinations(range(1, steps), len(one) - 1))
        assert one[0] == 0 and list(one) == sorted(set(one))
        assert total(found, one) == pytest.approx(min(total(found, other) for other in others))


def test_sensitive_steps_are_computed() -> None:
    """Reuse costs ten times as much at the first three of nine steps and grows with the square of its length."""
    found = tuple(
        tuple(float(sum((10 if s + i < 3 else 1) * i**2 for i in range(1, r + 1))) for r in range(9 - s))
        for s in range(9)
    )
    by_length = {len(one): one for one in least_costly(found)}
    assert by_length[9] == tuple(range(9))
    assert by_length[5][:3] == (0, 1, 2)


@pytest.mark.parametrize("found", [(), ((0.0,), (0.0,)), ((0.0, 1.0, 2.0), (0.0,))])
def test_what_are_no_costs(found: Costs) -> None:
    with pytest.raises(InputError, match="a row for each step"):
        least_costly(found)


def sensitivity(steps: int, guided: bool = True) -> Sensitivity:
    nothing = tuple((0.0,) * (steps - step) for step in range(steps))
    return Sensitivity(
        setting="", environment={}, samples=1, steps=steps,
        full_steps=costs(steps, 1), guided_steps=costs(steps, 2) if guided else nothing,
    )  # fmt: skip


def test_measured_grids_are_searched_instead_of_the_methods_own() -> None:
    grids = measured_grids(sensitivity(6))
    space = Space(["schedule"], tiny_sd(), 6, grids=grids)
    assert {axis.name: axis.values for axis in space.axes[1:3]} == {
        "full_steps": grids["schedule", "full_steps"],
        "guided_steps": grids["schedule", "guided_steps"],
    }
    assert [len(steps_of(value)) for value in grids["schedule", "full_steps"]] == [6, 5, 4, 3, 2, 1]
    fixed: dict[str, dict[str, Value]] = {"schedule": {"full_steps": "0:3"}}
    assert {p.parameters["schedule"]["full_steps"] for p in Space(["schedule"], tiny_sd(), 6, fixed, grids)} == {
        "0:3"
    }


def test_without_guidance_its_list_keeps_all_steps() -> None:
    assert measured_grids(sensitivity(6, guided=False))["schedule", "guided_steps"] == ("0-5",)


def test_a_bench_that_draws_nothing_has_no_measured_grids(tmp_path: Path) -> None:
    bench = Landscape(speedup=lambda plan: 2.0, clip_loss=lambda plan: 0.0)
    with Store("memory", bench.setting, bench.identity) as store:
        assert newly_measured(bench, store) == {}
        assert store.sensitivity() is None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    words = folder / "words.txt"
    words.write_text("\n".join(f"{colour} {thing}" for colour in ("red", "blue") for thing in ("dog", "bus")))
    return Bench.of(tiny_sd(), steps=4, height=64, width=64, scorer=str(tiny_clip(folder / "clip")), prompts=words)


TASK = Task(model="tiny", scheduler="DDIM", steps=4, methods=("schedule",), max_loss={"clip_score": 1.0})


def test_a_search_measures_once_and_tries_the_measured_lists(bench: Bench, tmp_path: Path) -> None:
    options = SearchOptions(
        storage=str(tmp_path / "trials.db"), strategy="traversal", max_trials=2, num_samples=8, pairs=1
    )
    told: list[Progress] = []
    run_search(bench, TASK, options, told.append)
    assert any("what reuse of guidance costs" in news.message for news in told)
    with Store(options.storage, bench.setting, bench.identity) as store:
        found = store.sensitivity()
        tried = store.trials(["schedule"])
    assert found is not None and found.steps == 4
    space = Space(["schedule"], bench.pipe, 4, grids=measured_grids(found))
    assert len(tried) == 2 and all(space.holds(Plan.parse(trial.plan)) for trial in tried)
    told.clear()
    again = run_search(bench, TASK, options, told.append)
    assert not any("what reuse" in news.message for news in told)
    assert {trial.plan for trial in again.trials} == {trial.plan for trial in tried}


def test_without_time_to_measure_the_methods_own_lists_are_searched(bench: Bench) -> None:
    told: list[str] = []
    with Store("memory", bench.setting, bench.identity) as store:
        assert newly_measured(bench, store, limit_s=0, report=told.append) == {}
        assert store.sensitivity() is None
    assert "the lists of steps are not measured ones" in told[-1]
