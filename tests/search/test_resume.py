"""What one search measured serves the next: after Ctrl-C, with another target, with another limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.landscape import Landscape

from hasten.plan import Plan
from hasten.search import Progress, SearchOptions, SearchResult, run_search
from hasten.task import Task


def interval(p: Plan) -> int:
    return int(p.parameters["deepcache"]["cache_interval"])


def landscape(**changes: Any) -> Landscape:
    """Every plan of an interval alike, and slower than the one before within it."""

    def speed(p: Plan) -> float:
        return 0.5 * interval(p) + 0.01 * (3 - p.parameters["deepcache"]["cache_branch_id"])

    known = {"speedup": speed, "clip_loss": lambda p: 0.004 * interval(p), "half_width": 0.0001}
    return Landscape(**{**known, **changes})


def search(
    bench: Landscape, path: Path, limit: float = 0.05, target: float | None = None, **how: Any
) -> SearchResult:
    options = SearchOptions(storage=str(path / "trials.db"), strategy="traversal", **how)
    task = Task(
        model="landscape",
        scheduler="DDIM",
        steps=25,
        methods=("deepcache",),
        target={"speedup": target} if target else None,
        max_loss={"clip_score": limit},
    )
    return run_search(bench, task, options)


def test_after_an_interruption_every_plan_is_measured_once(tmp_path: Path) -> None:
    first, second = landscape(interrupt_after=7), landscape()
    with pytest.raises(KeyboardInterrupt):
        search(first, tmp_path)
    found = search(second, tmp_path)
    together = first.measured + second.measured
    assert first.measured.total() == 7
    assert max(together.values()) == 1
    assert found.status == "met" and len(found.trials) == 16


def test_a_finished_search_is_answered_from_the_store(tmp_path: Path) -> None:
    before = search(landscape(), tmp_path)
    again = landscape()
    assert search(again, tmp_path) == before
    assert not again.measured


def test_another_target_uses_the_same_trials(tmp_path: Path) -> None:
    search(landscape(), tmp_path)
    bench = landscape()
    found = search(bench, tmp_path, target=1.5)
    assert found.status == "met"
    assert not bench.measured  # its verdict meets this target too


def test_of_several_verdicts_that_meet_a_target_the_closest_answers(tmp_path: Path) -> None:
    for target in (1.2, 1.9, 2.4):
        search(landscape(), tmp_path, target=target, prefer="closest")
    bench = landscape()
    found = search(bench, tmp_path, target=1.6)
    assert found.confirmed and interval(found.confirmed.plan) == 4
    assert found.equal_time and not bench.measured


def test_what_is_over_a_known_bound_needs_no_search(tmp_path: Path) -> None:
    bound = search(landscape(), tmp_path, limit=0.0165)  # interval 4: 2.03x
    bench = landscape()
    found = search(bench, tmp_path, limit=0.0165, target=2.1)
    assert (found.status, found.best) == ("infeasible", bound.confirmed)
    assert "2.1x is out of reach here; the best within 0.0165 is 2.03x" in found.reason
    assert not bench.measured
    assert search(landscape(), tmp_path, target=2.1).status == "met", "another limit has another bound"


def test_a_bound_of_a_part_of_the_grid_proves_nothing(tmp_path: Path) -> None:
    search(landscape(), tmp_path, max_trials=5)
    assert search(landscape(), tmp_path, target=2.4).status == "met"


def test_fixed_parameters_have_bounds_of_their_own(tmp_path: Path) -> None:
    fixed = {"deepcache": {"cache_interval": 3}}
    options = SearchOptions(storage=str(tmp_path / "trials.db"))
    known: dict[str, Any] = {"model": "landscape", "scheduler": "DDIM", "steps": 25, "methods": ("deepcache",)}
    faster = Task(**known, parameters=fixed, target={"speedup": 2.0}, max_loss={"clip_score": 0.05})
    assert run_search(landscape(), faster, options).status == "infeasible"
    assert search(landscape(), tmp_path, target=2.0).status == "met"
    assert run_search(landscape(), faster, options).status == "infeasible", "no other plan's verdict answers"


def test_a_plan_timed_in_few_pairs_is_timed_anew_where_it_matters(tmp_path: Path) -> None:
    """Clearly under 2.2x, the plans of intervals 2 and 3 are timed once; for 1.5x those of 3 are candidates."""

    def counts(found: SearchResult) -> dict[int, int]:
        return {interval(t.plan): len(t.latency.times_s) for t in found.trials if t.latency}

    strict = search(landscape(), tmp_path, target=2.2)
    assert (strict.status, counts(strict)) == ("met", {2: 1, 3: 1, 4: 3, 5: 3})
    bench = landscape()
    found = search(bench, tmp_path, target=1.5, prefer="closest")
    assert (found.status, counts(found)) == ("met", {2: 1, 3: 3})
    assert {interval(Plan.parse(plan)) for plan, split in bench.measured if split == "search"} == {3}


def test_a_stored_verdict_on_images_that_this_run_has_used_is_measured_anew(tmp_path: Path) -> None:
    def opened() -> Landscape:
        return landscape(held_out=lambda p: 0.03 if interval(p) == 5 else 0.001)

    first, second = search(opened(), tmp_path), search(opened(), tmp_path, limit=0.0165)
    for found, chosen in ((first, 5), (second, 4)):
        assert found.confirmed and interval(found.confirmed.plan) == chosen
        assert found.confirmed.offset == 0
    bench = opened()
    third = search(bench, tmp_path, limit=0.025, confirmations=9)  # those of interval 5 fall short, one by one
    assert len(third.rejected) == 4
    assert third.confirmed and second.confirmed and third.confirmed.plan == second.confirmed.plan
    assert third.confirmed.offset == 4 * 32
    assert [n for (plan, split), n in bench.measured.items() if split == "held-out"] == [1, 1, 1, 1]
    again = opened()
    assert search(again, tmp_path, limit=0.025, confirmations=9).confirmed == third.confirmed
    assert not again.measured


def test_another_limit_scores_again_only_what_is_open_there(tmp_path: Path) -> None:
    """With 0.05 all losses are clear after 8 prompts; for 0.0121 that of interval 3, 0.012, is not."""
    search(landscape(half_width=0.0009), tmp_path)
    bench = landscape(half_width=0.0009)
    search(bench, tmp_path, limit=0.0121)
    assert {interval(Plan.parse(plan)) for plan, split in bench.measured if split == "search"} == {3}
    again = landscape(half_width=0.0009)
    search(again, tmp_path, limit=0.0121)
    assert not again.measured


def test_a_failed_plan_is_not_tried_again(tmp_path: Path) -> None:
    search(landscape(fails=lambda p: interval(p) == 4), tmp_path)
    bench = landscape()
    found = search(bench, tmp_path)
    assert sum(t.status == "failed" for t in found.trials) == 4
    assert not bench.measured


def test_with_more_prompts_trials_go_on_where_they_were(tmp_path: Path) -> None:
    search(landscape(half_width=0.05), tmp_path)
    bench = landscape(half_width=0.05)
    search(bench, tmp_path, num_samples=64)
    assert bench.measured.total() == 1  # the verdict; no plan of the grid is timed again
    assert bench.images == 16 * 32 + 64


def test_progress_tells_what_was_reused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(landscape(interrupt_after=5), tmp_path)
    seen: list[Progress] = []
    task = Task(
        model="landscape", scheduler="DDIM", steps=25, methods=("deepcache",), max_loss={"clip_score": 0.05}
    )
    options = SearchOptions(storage=str(tmp_path / "trials.db"), strategy="traversal")
    run_search(landscape(), task, options, progress=seen.append)
    assert [p.reused for p in seen if p.stage == "search"] == [0, 1, 2, 3, 4, *[5] * 12]
