"""Calls timed step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.steps import cut, ratio, seconds_of


def test_a_call_is_cut_where_the_denoiser_is_called() -> None:
    denoiser = torch.nn.Linear(1, 1)
    with cut([denoiser]) as pieces_s:
        for calls in (3, 1, 0):
            pieces_s()
            for _ in range(calls):
                denoiser(torch.zeros(1))
            found = pieces_s()
            assert list(found) == [str(i) for i in range(calls + 1)]
            assert all(seconds > 0 for seconds in found.values())
    assert not denoiser._forward_pre_hooks


def test_what_falls_on_few_pieces_of_a_call_does_not_count() -> None:
    """A burst in every call, each time at another step: the median of whole calls sees it."""
    calm = np.full((9, 10), 0.1)
    disturbed = calm.copy()
    disturbed[np.arange(9), np.arange(9)] += 0.5
    assert seconds_of(disturbed.tolist()) == pytest.approx(1.0)
    assert np.median(disturbed.sum(axis=1)) == pytest.approx(1.5)
    speedup, (low, high) = ratio(disturbed.tolist(), (calm / 2).tolist())
    assert speedup == pytest.approx(2.0) and low <= speedup <= high
