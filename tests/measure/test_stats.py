"""Intervals against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.landscape import loss, trial

from hasten.errors import InputError, MeasurementError
from hasten.limits import Limits
from hasten.measure.stats import at_confidence, bootstrap_ratio_of_medians, paired_loss, relative_spread, student_t

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 10: 2.228, 31: 2.0395, 100: 1.984}


@pytest.mark.parametrize(("freedom", "value"), TABLE.items())
def test_student_t_agrees_with_the_printed_table(freedom: int, value: float) -> None:
    assert student_t(0.975, freedom) == pytest.approx(value, rel=0.012)


def test_ratio_of_medians() -> None:
    ratio, (low, high) = bootstrap_ratio_of_medians([4.0, 4.2, 3.8, 9.0, 4.0], [2.0, 2.1, 1.9, 2.0, 8.0])
    assert ratio == 2.0
    assert low < 2.0 < high


def test_times_that_drift_together_leave_no_doubt_of_their_ratio() -> None:
    drift = [1.0, 1.1, 1.3, 1.2, 1.5]
    ratio, interval = bootstrap_ratio_of_medians([3 * d for d in drift], drift)
    assert ratio == pytest.approx(3.0)
    assert interval == pytest.approx((3.0, 3.0))


def test_loss_of_the_means_is_exact() -> None:
    loss, _ = paired_loss([30.0, 32.0], [29.0, 31.0])
    assert loss == pytest.approx(1 / 31)


def test_loss_in_proportion_has_no_width() -> None:
    baseline = [20.0, 25.0, 31.0, 40.0]
    loss, interval = paired_loss(baseline, [0.9 * b for b in baseline])
    assert loss == pytest.approx(0.1)
    assert interval == pytest.approx((0.1, 0.1))


def test_where_lower_is_better_the_sign_turns() -> None:
    worse, _ = paired_loss([10.0, 10.0], [12.0, 12.0], higher_is_better=False)
    better, _ = paired_loss([10.0, 10.0], [8.0, 8.0], higher_is_better=False)
    assert (worse, better) == (pytest.approx(0.2), pytest.approx(-0.2))


def test_interval_is_that_of_the_formula_for_many_samples() -> None:
    scores = np.random.default_rng(1).normal(90, 10, 400)
    _, (low, high) = paired_loss([100.0] * 400, scores.tolist())
    error = scores.std(ddof=1) / 100 / np.sqrt(400)
    assert (high - low) / 2 == pytest.approx(1.966 * error, rel=0.05)


@pytest.mark.parametrize("count", [5, 8, 32])
def test_intervals_cover_the_truth_as_often_as_they_say(count: int) -> None:
    """Over 2,000 draws it is 93, 94 and 95 of 100; the plain percentile interval's is 85, 88 and 95."""
    draw = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        scores = draw.normal(80, 15, count)
        _, (low, high) = paired_loss([100.0] * count, scores.tolist())
        covered += low <= 0.2 <= high
    assert 0.9 <= covered / 300 <= 0.985


def test_a_wider_interval_is_surer() -> None:
    scores = np.random.default_rng(3).normal(90, 10, 32).tolist()
    intervals = [paired_loss([100.0] * 32, scores, confidence=c)[1] for c in (0.5, 0.8, 0.95, 0.999)]
    widths = [high - low for low, high in intervals]
    assert widths == sorted(widths) and widths[0] < widths[-1] / 3


def test_a_trial_at_another_confidence_has_the_intervals_of_its_raw_figures() -> None:
    """At 95% it is inside the limit; surer than that, the interval reaches over it."""
    scores = tuple(1 - 0.012 - 0.02 * (i % 2) for i in range(32))
    _, interval = paired_loss((1.0,) * 32, scores)
    raw = {"baseline_scores": (1.0,) * 32, "scores": scores, "interval": interval}
    usual = trial(losses={"clip_score": loss(0.022).model_copy(update=raw)})
    sure, limits = at_confidence(usual, 0.999), Limits({"clip_score": 0.027})
    assert at_confidence(usual, 0.95) == usual
    assert (limits.verdict(usual.losses), limits.verdict(sure.losses)) == ("inside", "open")
    assert sure.latency and sure.latency.confidence == sure.losses["clip_score"].confidence == 0.999
    assert at_confidence(sure, 0.95).losses == usual.losses


def test_the_same_seed_gives_the_same_interval() -> None:
    baseline, scores = np.random.default_rng(5).normal((3, 2.9), 0.1, (20, 2)).T.tolist()
    assert paired_loss(baseline, scores, seed=3) == paired_loss(baseline, scores, seed=3)
    assert paired_loss(baseline, scores, seed=3)[1] != paired_loss(baseline, scores, seed=4)[1]


def test_spread() -> None:
    assert relative_spread([1.0, 1.0, 1.0]) == 0
    assert relative_spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0])])
def test_unpaired_numbers_are_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(InputError, match="pairs"):
        paired_loss(a, b)


def test_no_loss_relative_to_nothing() -> None:
    with pytest.raises(MeasurementError, match="above 0"):
        paired_loss([0.0, 0.0], [1.0, 1.0])
