"""One task after the other: what one search has found the next one knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.plan import Plan
from hasten.search import SearchOptions
from hasten.store.database import open_database
from hasten.store.memory import one_memory
from hasten.task import Target, Task
from hasten.testing.pipelines import tiny_sd
from hasten.workflow.answering import answered, known_first
from hasten.workflow.place import Place


@pytest.mark.full  # as a store lasts below
def test_the_searches_of_a_run_share_the_store_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_sd().save_pretrained(tmp_path / "tiny")
    (tmp_path / "prompts.txt").write_text("a cat\na dog\na red fox\na blue bird\n", encoding="utf-8")
    asked: list[tuple[Any, ...]] = []
    original = Bench.trial

    def noted(bench: Bench, plan: Plan, spec: TrialSpec, **how: Any) -> Any:
        asked.append((str(plan), spec.split, spec.offset, spec.begun is None))
        return original(bench, plan, spec, **how)

    monkeypatch.setattr(Bench, "trial", noted)
    task = Task(
        model=str(tmp_path / "tiny"),
        scheduler="DDIM",
        steps=4,
        methods=("deepcache",),
        target=Target(speedup=1.01),
        max_loss={"ssim": 1.0},
    )
    place = Place(device="cpu", height=64, width=64, prompts=str(tmp_path / "prompts.txt"))
    options = SearchOptions(
        strategy="traversal", storage="memory", num_samples=8, pairs=1, search_pairs=1, max_trials=2
    )
    answered(task, place, options, search=known_first(Plan(), explore=True))
    assert asked and len(asked) == len(set(asked))


def test_a_store_in_memory_lasts_as_long_as_its_run() -> None:
    with one_memory():
        first = open_database("memory")
        with one_memory():
            assert open_database("memory") is first
        assert open_database("memory") is first
    assert open_database("memory") is not open_database("memory")
    with one_memory():
        assert open_database("memory") is not first
