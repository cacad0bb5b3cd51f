"""How far predicted speedups are off those of a recorded table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.predicted import off, row
from benchmarks.replays import METRIC, TIMED, Replay, timed_table
from benchmarks.tables.plans import pipeline_of

from hasten.limits import Limits


def test_errors_are_of_every_timed_plan_and_follow_its_times() -> None:
    pipe, table, limits = pipeline_of(TIMED), timed_table(TIMED, "deepcache"), Limits({METRIC: 0.02})
    errors = off(Replay(table, pipe, limits))
    twice = table.times.copy()
    twice[:, 1] *= 2  # every plan half as fast: predicted / measured doubles
    doubled = off(Replay(replace(table, times=twice), pipe, limits)) + 1
    assert errors.shape == (table.header["timed"],) and errors.max() < 0.5
    assert np.abs(doubled - 2) == pytest.approx(2 * errors)


def test_a_row_has_the_median_and_the_95th_percentile() -> None:
    assert row("tome", np.array([0.01, 0.02, 0.09]), "5.0%") == "| tome | 3 | 2.0% | 8.3% | 5.0% |"
