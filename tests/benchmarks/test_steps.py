"""Sides that are timed step by step."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.steps import ratio

from hasten.measure.stepwise import seconds_of


def test_what_falls_on_few_pieces_of_a_call_does_not_count() -> None:
    """A burst in every call, each time at another step: the median of whole calls sees it."""
    calm = np.full((9, 10), 0.1)
    disturbed = calm.copy()
    disturbed[np.arange(9), np.arange(9)] += 0.5
    assert seconds_of(disturbed.tolist()) == pytest.approx(1.0)
    assert np.median(disturbed.sum(axis=1)) == pytest.approx(1.5)
    speedup, (low, high) = ratio(disturbed.tolist(), (calm / 2).tolist())
    assert speedup == pytest.approx(2.0) and low <= speedup <= high
