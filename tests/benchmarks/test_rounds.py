"""Rounds of calls of a small real pipeline, kept in a file that several sets of plans share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks.lines import Lines
from benchmarks.rounds import Rounds

from hasten.measure.bench import Bench
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_sd

PLANS = [Plan.of({"deepcache": {"cache_interval": n, "cache_branch_id": 0}}) for n in (2, 3, 4)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    words = tmp_path / "words.txt"
    words.write_text("red dog\nblue cat\n")
    return Bench.of(tiny_sd(), steps=4, height=64, width=64, prompts=words)


def made(bench: Bench, path: Path, plans: Sequence[Plan]) -> Rounds:
    """The rounds of these plans, by a command of its own."""
    rounds = Rounds(bench, Lines(path, bench.setting, bench.environment), plans, 2)
    rounds.run()
    return rounds


def test_each_set_of_plans_is_compared_with_the_baselines_called_beside_it(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    first = {trial.plan: trial for trial in made(bench, path, PLANS[:2]).trials()}
    (other,) = made(bench, path, PLANS[2:]).trials()
    again = {trial.plan: trial for trial in made(bench, path, PLANS[:2]).trials()}
    assert again == first and set(first) == set(PLANS[:2])
    assert other.latency and other.latency.times_s and len(other.latency.times_s) == 2
    seen = {time for trial in first.values() if trial.latency for time in trial.latency.baseline_times_s}
    assert not seen & set(other.latency.baseline_times_s)


def test_a_stopped_command_makes_only_the_calls_that_are_missing(bench: Bench, tmp_path: Path) -> None:
    path, cut = tmp_path / "calls.jsonl", tmp_path / "cut.jsonl"
    whole = made(bench, path, PLANS).lines.found
    kept = path.read_text().splitlines(keepends=True)[:7]
    cut.write_text("".join(kept))
    assert list(made(bench, cut, PLANS).lines.found) == list(whole)
    assert cut.read_text().startswith("".join(kept)) and len(cut.read_text().splitlines()) == len(whole)
