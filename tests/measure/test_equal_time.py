"""The equal-time baseline: how its number of steps is found, and what it is then compared by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from tests.support.landscape import latency, loss, trial

from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.measure.equal_time import dominates, most_steps, where_it_loses
from hasten.measure.stats import loss_of
from hasten.metrics import METRICS
from hasten.plan import Plan
from hasten.records import Latency, Loss, Trial

FULL = 50


class Line:
    """Exact latencies, ``fixed`` + 1 a step; ``misread`` are speedups of (steps, pairs) that are off it."""

    def __init__(self, fixed: float, full: int = FULL, misread: Mapping[tuple[int, int], float] | None = None):
        self.fixed, self.full, self.misread = fixed, full, misread or {}
        self.asked: list[tuple[int, int, int]] = []

    def __call__(self, steps: int, *, pairs: int, warmup: int) -> Latency:
        self.asked.append((steps, pairs, warmup))
        exact = (self.fixed + self.full) / (self.fixed + steps)
        return latency(self.misread.get((steps, pairs), exact), pairs=pairs)

    @property
    def timed(self) -> list[int]:
        return [steps for steps, _, _ in self.asked]


@pytest.mark.parametrize(("speedup", "steps"), [(1.01, 49), (1.99, 23), (2.99, 14), (4.9, 7), (40.0, 1)])
def test_two_timings_are_enough_on_a_line(speedup: float, steps: int) -> None:
    line = Line(4.0)
    found, measured = most_steps(line, FULL, speedup, pairs=7)
    assert found == steps
    assert measured.speedup == 54 / (4 + steps)
    assert line.asked == [(25, 2, 1), (steps, 3, 0)]


@pytest.mark.parametrize("speedup", [1.0, 0.8])
def test_a_plan_that_is_no_faster_has_all_the_steps(speedup: float) -> None:
    line = Line(4.0)
    assert most_steps(line, FULL, speedup, pairs=7)[0] == FULL
    assert line.asked == [(FULL, 3, 1)]


@pytest.mark.parametrize("full", [1, 2, 3])
def test_few_steps(full: int) -> None:
    assert most_steps(Line(0.1, full), full, 50.0)[0] == 1


def test_no_more_pairs_than_asked_for() -> None:
    line = Line(4.0)
    most_steps(line, FULL, 1.99, pairs=1)
    assert line.asked == [(25, 1, 1), (23, 1, 0)]


PROPORTIONAL = {(25, 2): 2.0}
"""A first reading as if there were no fixed part: the guess has too many steps."""


def test_too_slow_steps_down() -> None:
    line = Line(4.0, misread=PROPORTIONAL)
    assert most_steps(line, FULL, 1.99)[0] == 23
    assert line.timed == [25, 25, 24, 23]


def test_steps_down_at_most_twice_and_the_latency_tells() -> None:
    line = Line(20.0, misread=PROPORTIONAL)
    found, measured = most_steps(line, FULL, 1.5)
    assert line.timed == [25, 33, 32, 31]
    assert (found, measured.speedup) == (31, 70 / 51)
    assert measured.speedup < 1.5


def test_steps_down_no_further_than_to_one() -> None:
    line = Line(0.0, full=4, misread={(1, 3): 1.9, (2, 3): 1.5})
    assert most_steps(line, 4, 2.0)[0] == 1
    assert line.timed == [2, 2, 1]


def test_no_step_costs_more_than_its_share() -> None:
    """A half that was read in less than half the time does not lift the guess above full / speedup."""
    line = Line(0.0, misread={(25, 2): 9.0})
    assert most_steps(line, FULL, 1.99)[0] == 25
    assert line.timed == [25, 25]


TOO_SLOW = {(25, 2): 1 / (1 - 25 * 0.0165)}
"""A first reading that makes a step seem cheaper than it is: the guess has too few."""


def test_clear_room_is_used_once() -> None:
    line = Line(4.0, misread=TOO_SLOW)
    found, measured = most_steps(line, FULL, 1.99)
    assert line.timed == [25, 19, 23]
    assert (found, measured.speedup) == (23, 54 / 27)


def test_more_steps_are_given_up_where_they_are_too_slow() -> None:
    line = Line(4.0, misread={**TOO_SLOW, (23, 3): 1.9})
    found, measured = most_steps(line, FULL, 1.99)
    assert line.timed == [25, 19, 23]
    assert (found, measured.speedup) == (19, 54 / 23)


@pytest.mark.parametrize("misread", [0.98, 1.2])
def test_a_first_reading_under_load_leaves_no_plan_compared_with_far_too_few_steps(misread: float) -> None:
    line = Line(4.0, misread={(25, 2): misread})
    assert most_steps(line, FULL, 3.94)[0] == 9
    assert line.timed == [25, 1, 9]


def test_a_plan_loses_only_to_steps_that_are_no_slower() -> None:
    fewer = trial("baseline", latency=latency(2.0), losses={"clip_score": loss(0.01), "ssim": loss(0.1)})
    plan = {"clip_score": loss(0.011), "ssim": loss(0.1), "psnr": loss(0.5)}
    for speedup, loses in ((1.5, ["clip_score"]), (2.01, ["clip_score"]), (2.1, [])):
        assert where_it_loses(fewer, latency(speedup), plan) == loses
    assert where_it_loses(fewer.model_copy(update={"latency": None}), latency(1.5), plan) == []


def test_fewer_steps_dominate_only_beyond_chance_by_every_metric_and_in_no_more_time() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0.3, 0.05, 32)  # of some prompts every image scores worse: paired, that does not count

    def scored(lost: float, scatter: float, metric: str = "clip_score") -> Loss:
        scores = hard * (1 - lost) + rng.normal(0, scatter, 32)
        return loss_of(METRICS.get(metric), [*hard], [*scores], version="")

    def one(*losses: Loss, speedup: float = 2.0) -> Trial:
        return trial("baseline", latency=latency(speedup), losses={found.metric: found for found in losses})

    plan = one(scored(0.02, 0.001), scored(0.1, 0.001, "ssim"))
    assert dominates(one(scored(0.0, 0.001), scored(0.01, 0.001, "ssim")), plan)
    assert not dominates(one(scored(0.0, 0.05), scored(0.01, 0.001, "ssim")), plan), "by chance, in the score"
    assert not dominates(one(scored(0.0, 0.001), scored(0.1, 0.001, "ssim")), plan), "as good, by SSIM"
    assert not dominates(one(scored(0.0, 0.001)), plan), "SSIM was not measured"
    slow = one(scored(0.0, 0.001), scored(0.01, 0.001, "ssim"), speedup=1.9)
    assert not dominates(slow, plan), "in more time"


def test_it_is_measured_like_a_plan(bench: Bench) -> None:
    own = bench.trial(Plan.parse("deepcache(cache_branch_id=0,cache_interval=2)"), TrialSpec(samples=4, pairs=1))
    assert own.latency is not None
    fast = own.latency.model_copy(update={"speedup": 1.6})
    bad = {m: loss.model_copy(update={"loss": 2.0}) for m, loss in own.losses.items()}
    told: list[str] = []
    found = bench.equal_time(fast, TrialSpec(samples=4, pairs=1), plan_losses=bad, report=told.append)
    assert found.steps == found.trial.steps < bench.setting.steps
    assert (found.trial.plan, found.trial.status) == (Plan(), "ok")
    assert found.trial.latency is not None and len(found.trial.latency.times_s) == 1
    assert found.trial.losses["ssim"].samples == 4
    assert found.trial.losses["ssim"].loss > 0
    assert found.plan_loses == tuple(where_it_loses(found.trial, fast, bad))
    assert told[0] == "2 steps: latency 1/1"
    assert told[-1] == f"{found.steps} steps: scored 4/4"
