"""What plans lose, estimated together: the errors that they share for being scored on the same images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.landscape import loss, trial

from hasten.measure.stats import loss_of
from hasten.metrics import METRICS
from hasten.predict.shared_errors import MAX_CORRELATION, Measured, estimates, mean_correlation
from hasten.records import Loss

HARD = np.tile([0.03, -0.03], 16) + np.repeat([0.018, -0.006], [8, 24])
"""What each prompt costs any plan, beside what the plan itself costs: the first eight are the hard ones."""


def scored(own: float, samples: int, seed: int) -> Loss:
    losses = own + HARD[:samples] + np.random.default_rng(seed).normal(0, 0.002, samples)
    scores = (0.3 * (1 - losses)).tolist()
    return loss_of(METRICS.get("clip_score"), [0.3] * samples, scores, version="")


def measured(found: Loss, **changes: Any) -> Measured:
    low, high = found.interval
    return Measured(trial(losses={"clip_score": found}, **changes), found, found.loss, (high - low) / 4, 1.0)


def test_hard_first_prompts_are_told_from_a_plan_that_loses_much() -> None:
    """Two plans that lose the same, one of them scored on the first prompts alone."""
    whole, few = measured(scored(0.01, 32, 1)), measured(scored(0.01, 8, 2))
    assert few.value > whole.value + 0.015
    values, covariance = estimates([whole, few])
    assert values[0] == pytest.approx(whole.value, abs=0.003)
    assert values[1] == pytest.approx(whole.value, abs=0.005)
    assert covariance[1, 1] < few.error**2, "the other plan's prompts tell of this one's"
    assert covariance[0, 1] > 0


def test_other_prompts_tell_nothing_of_these() -> None:
    whole, few = measured(scored(0.01, 32, 1), split="held-out"), measured(scored(0.01, 8, 2))
    values, covariance = estimates([whole, few])
    assert values == pytest.approx([whole.value, few.value])
    assert covariance == pytest.approx(np.diag([whole.error**2, few.error**2]))


def test_without_scatter_each_loss_stands_for_itself() -> None:
    own = [measured(loss(0.01)), measured(loss(0.02, samples=8))]
    values, covariance = estimates(own)
    assert values == pytest.approx([0.01, 0.02])
    assert covariance == pytest.approx(np.diag([m.error**2 for m in own]))
    assert mean_correlation(own) == 0.0
    assert estimates([])[0].shape == (0,)


def test_errors_never_go_together_wholly() -> None:
    same = scored(0.01, 32, 1)
    assert mean_correlation([measured(same), measured(same)]) == MAX_CORRELATION
    assert np.isfinite(estimates([measured(same), measured(same)])[1]).all()
