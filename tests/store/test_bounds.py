"""speedup_bounds.json: bounds and the reasons where there is none, the original's and ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.landscape import latency, trial

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.store.seeds.bounds import Bounds
from hasten.task import Target, Task

KEY = "('{}', 'DDIMScheduler', '50', 'upbound_speedup', 0.02{})"
ORIGINAL: dict[str, Any] = {
    KEY.format("StableDiffusionPipeline", ", ['deepcache']"): {"max_speedup": 5.5},
    KEY.format("SDXL", ""): {"max_speedup": [3.3], "search_targets": ["deepcache", "tgate"]},
    KEY.format("SD2.1", ", ['tome']"): {"max_speedup": 1.1000000000000001},
}
TASK = Task(model="SD1.5", scheduler="DDIM", steps=50, methods=("deepcache",))


def asking(**changes: Any) -> Task:
    return TASK.model_copy(update=changes)


def found(task: Task = TASK, **changes: Any) -> Answer:
    timed = latency(3.0).model_copy(update={"interval": (2.9, 3.1)})
    known = {"status": "met", "confirmed": trial("deepcache(cache_interval=4)", latency=timed)}
    return Answer(task=task, **{**known, **changes})


def original(folder: Path) -> Path:
    path = folder / "speedup_bounds.json"
    path.write_text(json.dumps(ORIGINAL))
    return path


def test_the_original_comes_in_answers_and_goes_out(tmp_path: Path) -> None:
    bounds = Bounds.read(original(tmp_path))
    assert bounds.faults == ()
    assert bounds.get(TASK) == 5.5
    assert bounds.get(asking(target=Target(speedup=9.0))) == 5.5
    assert bounds.get(asking(model="SDXL", methods=("deepcache", "tgate"))) == 3.3
    others = [{"steps": 25}, {"methods": None}, {"max_loss": {"clip_score": 0.01}}, {"scheduler": "UniPC"}]
    assert [bounds.get(asking(**changes)) for changes in others] == [None] * 4
    assert [entry.task.mode for entry in bounds.entries] == ["bound"] * 3
    assert bounds.entries[1].key.task().methods == ("deepcache", "tgate")
    bounds.merge_into(tmp_path / "exported.json")
    assert json.loads((tmp_path / "exported.json").read_text()) == ORIGINAL


def test_a_bound_is_the_measured_one(tmp_path: Path) -> None:
    path = original(tmp_path)
    bounds = Bounds.read(path)
    bounds.add(found(), complete=True)
    bounds.add(found(asking(methods=None)), margin=1.1)
    bounds.merge_into(path)
    written = json.loads(path.read_text())
    assert written[KEY.format("StableDiffusionPipeline", ", ['deepcache']")] == {
        "max_speedup": 3.0,
        "status": "met",
        "interval": [2.9, 3.1],
        "plan": "deepcache(cache_interval=4)",
        "complete": True,
    }
    read = Bounds.read(path)
    assert read.get(TASK) == 3.0 and read.get(asking(methods=None)) == pytest.approx(3.3)
    entry = read.find(TASK)
    assert entry and (entry.interval, entry.complete, entry.status) == ((2.9, 3.1), True, "met")


@pytest.mark.parametrize("status", ["infeasible", "undecided", "failed"])
def test_where_there_is_no_bound_stands_why(tmp_path: Path, status: str) -> None:
    path, bounds = original(tmp_path), Bounds()
    task = asking(steps=20)
    bounds.add(Answer(status=status, task=task, reason="out of memory"))
    bounds.merge_into(path)
    read = Bounds.read(path)
    entry = read.find(task)
    assert entry and (entry.max_speedup, entry.status, entry.reason) == (None, status, "out of memory")
    assert read.get(task) is None and len(read.entries) == len(ORIGINAL) + 1


def test_a_failure_does_not_take_the_place_of_a_bound_and_a_finding_does(tmp_path: Path) -> None:
    path = original(tmp_path)
    bounds = Bounds()
    bounds.add(Answer(status="failed", task=TASK, reason="killed"))
    bounds.merge_into(path)
    assert Bounds.read(path).get(TASK) == 5.5 == bounds.get(TASK)
    bounds.add(Answer(status="infeasible", task=TASK, reason="nothing is faster"))
    bounds.merge_into(path)
    entry = Bounds.read(path).find(TASK)
    assert entry and entry.status == "infeasible"
    bounds.add(found())
    assert bounds.get(TASK) == 3.0


def test_other_answers_are_no_bounds() -> None:
    with pytest.raises(InputError, match="mode 'target'"):
        Bounds().add(found(asking(target=Target(speedup=2.0))))
    for margin in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="margin"):
            Bounds().add(found(), margin=margin)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"max_speedup": None},
        {"max_speedup": float("inf")},
        {"max_speedup": -1},
        {"max_speedup": 2.0, "status": "failed"},
        {"max_speedup": None, "status": "met"},
        {"max_speedup": 2.0, "status": ["met"]},
        "fast",
    ],
)
def test_an_entry_that_makes_no_sense_is_named_and_written_back(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "bounds.json"
    text = KEY.format("SD1.5", ", ['tome']")
    path.write_text(json.dumps({**ORIGINAL, text: value}, indent=1))
    bounds = Bounds.read(path)
    assert len(bounds.entries) == len(ORIGINAL)
    (fault,) = bounds.faults
    assert "bounds.json line 1" in fault and "entry" in fault and "'SD1.5'" in fault and "max_speedup" in fault
    bounds.merge_into(path)
    assert json.dumps(json.loads(path.read_text())[text]) == json.dumps(value)
