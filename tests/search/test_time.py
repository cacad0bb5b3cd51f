"""The limit of time, by a clock that only measuring moves: what follows a search is made shorter until it fits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
from tests.search.test_guided import TGATE, answer, cost, speed, task
from tests.support.landscape import BASELINE_S, Landscape, latency, loss

from hasten.measure.contract import TrialSpec
from hasten.measure.stats import samples_of
from hasten.options.table import MIN_SAMPLES
from hasten.plan import Plan
from hasten.records import EqualTime, Latency, Trial
from hasten.search import SearchOptions
from hasten.search.budget import Budget, Extent

LEAST_S = 2 * MIN_SAMPLES + 2 * 4 + MIN_SAMPLES + 2 * 9
"""The estimate of the least verdict and comparison, where a call and an image take a second each."""


class Clock:
    """Seconds that pass when something is measured."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr("hasten.search.budget.time", SimpleNamespace(monotonic=made))
    monkeypatch.setattr(Budget, "foresee", _foreseen)
    yield made


def _foreseen(self: Budget, *_: object, **__: object) -> str:
    """The pace is known as a bench would measure it."""
    self.expect(BASELINE_S)
    return ""


@dataclass
class Slow(Landscape):
    """A landscape where every call and every image takes its time. ``restless``: by so much calls differ."""

    clock: Clock | None = None
    restless: float = 0.0

    def trial(self, plan: Plan, spec: TrialSpec, *, report: Callable[[str], None] | None = None) -> Trial:
        before, clock = self.images, self.clock or Clock()
        found = super().trial(plan, spec, report=report)
        clock.now += (self.images - before) * (BASELINE_S + BASELINE_S / self.speedup(plan))
        if spec.begun is None and found.latency is not None:
            timed = self._timed(plan, spec)
            clock.now += sum(timed.baseline_times_s) + sum(timed.times_s)
            found = found.model_copy(update={"latency": timed})
        return found

    def _timed(self, plan: Plan, spec: TrialSpec) -> Latency:
        """Pairs of times until there are enough of them."""
        drawn, plain, own = random.Random(str(plan)), list[float](), list[float]()
        while len(own) < spec.pairs and not (own and spec.enough and spec.enough(plain, own)):
            plain.append(BASELINE_S * (1 + self.restless * drawn.random()))
            own.append(BASELINE_S / self.speedup(plan) * (1 + self.restless * drawn.random()))
        known = latency(self.speedup(plan), pairs=len(own))
        took: dict[str, Any] = {"baseline_times_s": tuple(plain), "times_s": tuple(own)}
        return known.model_copy(update={**took, "baseline_s": median(plain), "plan_s": median(own)})

    def equal_time(self, plan_latency: Latency, spec: TrialSpec, **given: Any) -> EqualTime:
        (self.clock or Clock()).now += spec.samples * BASELINE_S + 2 * 5 * BASELINE_S
        found = super().equal_time(plan_latency, spec, **given)
        losses = {m: loss(0.05, spec.samples, metric=m) for m in spec.metrics}
        return found.model_copy(update={"trial": found.trial.model_copy(update={"losses": losses})})


@pytest.mark.parametrize("restless", [0.0, 0.8])
@pytest.mark.parametrize("limit_s", [90, 120, 200, 400])
@pytest.mark.parametrize("asked", [50, 1.5, None])
def test_an_answer_takes_no_longer_than_it_may(
    clock: Clock, asked: float | None, limit_s: float, restless: float
) -> None:
    bench = Slow(speed, cost, clock=clock, restless=restless)
    found = answer(bench, task(TGATE, 0.05, asked), max_time_s=limit_s)
    assert found.status == ("infeasible" if asked == 50 else "met")
    assert found.best or found.confirmed
    assert clock.now <= limit_s * (1 + restless / 5), (
        "of restless calls the first tell only about how long they take"
    )


@pytest.mark.parametrize("limit_s", [1, 60])
def test_where_even_the_least_takes_longer_it_takes_the_least(clock: Clock, limit_s: float) -> None:
    bench = Slow(speed, cost, clock=clock)
    found = answer(bench, task(TGATE, 0.05, 50), max_time_s=limit_s)
    verdict = found.best
    assert verdict is not None and verdict.latency is not None
    assert samples_of(verdict.losses) == MIN_SAMPLES and len(verdict.latency.times_s) == 3
    assert len(found.trials) == 1 and samples_of(found.trials[0].losses) == MIN_SAMPLES
    assert clock.now <= 2 * MIN_SAMPLES + 6 + LEAST_S
    (note,) = found.notes
    assert note.startswith(f"The verdict is on 8 of 32 prompts, for want of time ({limit_s} s)")


def test_without_a_limit_or_with_a_long_one_a_verdict_is_whole(clock: Clock) -> None:
    for limit_s in (None, 1000):
        found = answer(Slow(speed, cost, clock=clock), task(TGATE, 0.05, 50), max_time_s=limit_s)
        assert found.best is not None and samples_of(found.best.losses) == 32 and not found.notes


def test_a_shortened_verdict_is_measured_anew_when_there_is_time(clock: Clock, tmp_path: Any) -> None:
    kept = {"storage": str(tmp_path / "trials.db")}
    first = answer(Slow(speed, cost, clock=clock), task(TGATE, 0.05), max_time_s=90, **kept)
    again = answer(Slow(speed, cost, clock=clock), task(TGATE, 0.05), **kept)
    assert first.confirmed and samples_of(first.confirmed.losses) < 32 and not first.complete
    assert again.confirmed and samples_of(again.confirmed.losses) == 32
    assert again.equal_time and samples_of(again.equal_time.trial.losses) == 32


def test_what_a_verdict_gets_of_the_time(clock: Clock) -> None:
    def budget(limit_s: float | None, **changes: Any) -> Budget:
        clock.now = 0.0
        made = Budget(SearchOptions(max_time_s=limit_s, **changes), 1)
        made.expect(1.0)
        return made

    whole, least = Extent(32, 7), Extent(8, 3)
    assert budget(None).verdict() == budget(200).verdict() == whole
    assert budget(LEAST_S).verdict() == budget(1).verdict() == least
    half = budget(90).verdict()
    assert least < half < whole
    assert budget(90, verified=True).verdict() < half, "a verification has its share"
    less = budget(90, verified=True)
    less.settle_for_less()
    assert less.verdict() == half, "no script is written of less than was asked for"
    assert budget(1, num_samples=8, pairs=2).verdict() == Extent(8, 2)


def test_pairs_beyond_the_least_and_further_prompts_have_what_is_left(clock: Clock) -> None:
    made = Budget(SearchOptions(max_time_s=LEAST_S + 20), 1)
    made.expect(1.0)
    assert made.at_most(60) == pytest.approx(20) and made.at_most(5) == 5
    assert made.affords(20) and not made.affords(40)
    clock.now = 100.0
    assert made.at_most(60) == 0 and not made.affords(1)
    unlimited = Budget(SearchOptions(), 1)
    assert unlimited.at_most(60) == 60 and unlimited.affords(10_000)
