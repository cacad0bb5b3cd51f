"""What few pairs of times tell, and that it is told apart from what the cost model gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.landscape import latency

from hasten.predict.residual import NOISE, Residual
from hasten.predict.timed_pairs import ASSUMED_SCATTER, error_of, log_ratio, scatter_of
from hasten.records import Latency


def timed(baseline_s: list[float], plan_s: list[float]) -> Latency:
    times = {"baseline_times_s": tuple(baseline_s), "times_s": tuple(plan_s)}
    return latency(2.0).model_copy(update=times)


def test_what_slows_down_both_calls_of_a_pair_cancels() -> None:
    restless = timed([1.0, 1.6, 1.2], [0.5, 0.8, 0.6])
    assert log_ratio(restless) == pytest.approx(np.log(2))
    assert log_ratio(timed([1.0, 1.0, 3.0], [0.5, 0.5, 0.5])) == pytest.approx(np.log(2)), "one pair far off"
    assert scatter_of([restless] * 50) < ASSUMED_SCATTER / 3


def test_scatter_is_that_of_the_pairs_whatever_the_plans_are() -> None:
    rng = np.random.default_rng(0)
    pairs = [np.exp(rng.normal(np.log(speedup), 0.1, 3)) for speedup in rng.uniform(1, 4, 200)]
    scatter = scatter_of(timed([1.0] * 3, list(1 / p)) for p in pairs)
    assert scatter == pytest.approx(0.1, rel=0.1)
    assert error_of(latency(2.0, pairs=25), scatter) == pytest.approx(scatter / 5)


@pytest.mark.parametrize("own", [0.005, 0.06])
def test_the_error_of_measurements_is_not_the_models(own: float) -> None:
    """Of pairs that scatter by 0.06, a model that is off by little is told from one that is off by as much."""
    rng = np.random.default_rng(1)
    residual, errors = Residual([0.1]), np.full(1000, 0.06)
    residual.fit(np.ones((1000, 1)), rng.normal(0.05, np.hypot(own, errors)), errors)
    assert residual.mean([np.ones(())]) == pytest.approx(0.05, abs=0.02)
    assert residual.deviation([np.ones(())]) == pytest.approx(own, abs=0.02)


def test_before_anything_is_measured_the_model_is_as_unsure_as_expected() -> None:
    residual = Residual([0.1])
    assert residual.mean([np.ones(())]) == 0
    assert residual.deviation([np.zeros(())]) == pytest.approx(NOISE, rel=0.2)
    assert residual.deviation([np.ones(())]) == pytest.approx(np.hypot(0.1, NOISE), rel=0.05)
