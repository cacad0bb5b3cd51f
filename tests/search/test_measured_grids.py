"""Grids that methods measure: the lists of steps that cost least, against all lists; and what a search tries."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.landscape import Landscape
from tests.support.packages import MEASURING, installed
from tests.support.tiny_clip import tiny_clip

import hasten
from hasten.errors import InputError
from hasten.measure.bench import Bench
from hasten.methods import METHODS, MeasuresGrid
from hasten.methods._least_costly import least_costly
from hasten.methods._reuse_costs import no_costs
from hasten.methods.schedule import METHOD
from hasten.plan import Value, steps_of
from hasten.predict.space import Grids, Space
from hasten.search import run_search
from hasten.search.measured_grids import newly_measured
from hasten.search.options import SearchOptions
from hasten.search.progress import Progress
from hasten.store import Store
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd

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


def grids_of(found: Mapping[str, Any], steps: int) -> Grids:
    return {(METHOD.name, name): values for name, values in METHOD.measured_grid(found, steps).items()}


def test_measured_grids_are_searched_instead_of_the_methods_own() -> None:
    grids = grids_of({"full_steps": costs(6, 1), "guided_steps": costs(6, 2)}, 6)
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
    assert METHOD.measured_grid({"guided_steps": no_costs(6)}, 6) == {"guided_steps": ("0-5",)}


def test_a_bench_that_draws_nothing_has_no_measured_grids(tmp_path: Path) -> None:
    bench = Landscape(speedup=lambda plan: 2.0, clip_loss=lambda plan: 0.0)
    with Store("memory", bench.setting, bench.identity) as store:
        assert newly_measured(bench, store, [METHOD]) == {}
        assert store.measured(METHOD.kept_as) is None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    words = folder / "words.txt"
    words.write_text("\n".join(f"{colour} {thing}" for colour in ("red", "blue") for thing in ("dog", "bus")))
    return Bench.of(tiny_sd(), steps=4, height=64, width=64, scorer=str(tiny_clip(folder / "clip")), prompts=words)


TASK = Task(model="tiny", scheduler="DDIM", steps=4, methods=("schedule",), max_loss={"clip_score": 1.0})


@pytest.mark.full  # what is measured is in test_grids.py, and searched above
def test_a_search_measures_once_and_tries_the_measured_lists(bench: Bench, tmp_path: Path) -> None:
    options = SearchOptions(
        storage=str(tmp_path / "trials.db"), strategy="traversal", max_trials=2, num_samples=8, pairs=1
    )
    told: list[Progress] = []
    run_search(bench, TASK, options, told.append)
    assert any("what reuse of guidance costs" in news.message for news in told)
    with Store(options.storage, bench.setting, bench.identity) as store:
        found = store.measured(METHOD.kept_as)
        tried = store.trials(["schedule"])
    assert found is not None and found.steps == 4
    space = Space(["schedule"], bench.pipe, 4, grids=grids_of(found.found, 4))
    assert len(tried) == 2 and all(space.holds(trial.plan) for trial in tried)
    told.clear()
    again = run_search(bench, TASK, options, told.append)
    assert not any("what reuse" in news.message for news in told)
    assert {trial.plan for trial in again.trials} == {trial.plan for trial in tried}


def test_without_time_to_measure_the_methods_own_lists_are_searched(bench: Bench) -> None:
    told: list[str] = []
    with Store("memory", bench.setting, bench.identity) as store:
        assert newly_measured(bench, store, [METHOD], limit_s=0, report=told.append) == {}
        assert store.measured(METHOD.kept_as) is None
    assert "the grid of Step schedule is not a measured one" in told[-1]


@pytest.mark.full  # as hasten's own above
def test_another_packages_method_measures_its_own_grid(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "house_rest", raising=False)
    installed(tmp_path, "hasten-house", {"house_rest": MEASURING}, "[hasten.methods]\nrest = house_rest\n")
    options = SearchOptions(storage=str(tmp_path / "trials.db"), strategy="traversal", num_samples=8, pairs=1)
    task = Task(model="tiny", scheduler="DDIM", steps=4, methods=("rest",), max_loss={"clip_score": 1.0})
    told: list[Progress] = []
    found = run_search(bench, task, options, told.append)
    assert any("what rests of interval 4 cost" in news.message for news in told)
    with Store(options.storage, bench.setting, bench.identity) as store:
        kept = store.measured("errors of rests")
    assert kept is not None and set(kept.found["errors"]) == {"2", "3", "4"}
    best = sorted(kept.found["errors"], key=kept.found["errors"].__getitem__)[:2]
    assert found.planned == 2 and {str(trial.plan) for trial in found.trials} <= {
        f"rest(rest_interval={interval})" for interval in best
    }


def test_a_method_that_measures_its_grid_is_named_in_its_own_file_alone() -> None:
    """No other module of hasten has such a method's name or title in its code, or imports its file."""
    names = {method.name for method in METHODS.all() if isinstance(method, MeasuresGrid)}
    titles = {METHODS.get(name).title for name in names}
    source = Path(hasten.__file__).parent
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and (node.value in names or any(t in str(node.value) for t in titles)))
        or (isinstance(node, ast.ImportFrom) and node.module in {f"hasten.methods.{name}" for name in names})
    }
    assert names and found == {f"methods/{name}.py" for name in names}
