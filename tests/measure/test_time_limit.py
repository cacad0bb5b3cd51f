"""What exceeds its limit of time is ended: a plan is a failed trial, and a baseline an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.support.marks import rarely

from hasten.errors import MeasurementError
from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.measure.profile import profile
from hasten.measure.time_limit import LEAST_S, TIMES, UNKNOWN_S, TimeLimit
from hasten.measure.watchdog import limited
from hasten.plan import Plan

PLAN = Plan.parse("deepcache(cache_interval=2)")
SPEC = TrialSpec(samples=2, pairs=1)
LIMIT_S = 2.0
SWALLOWED: list[bool] = []
LONGER = f"Time-out: it did not end within the {LIMIT_S:g} s that a trial may take"


@contextmanager
def hanging(bench: Bench, hang: Callable[[], object], whose: str = "plan") -> Iterator[None]:
    """The denoiser's second half hangs, of the plan's calls or of the baseline's."""

    def hook(*_: object) -> None:
        if bool(bench.pipeline.time_limit.under_way and bench.pipeline.time_limit.under_way.of_baseline) == (
            whose == "baseline"
        ):
            hang()

    handle = bench.pipe.unet.up_blocks[-1].register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def sleeps() -> None:
    time.sleep(10**6)


def works() -> None:
    while True:
        sum(range(100))


def swallows() -> None:
    """What code does that must not fail: it was ended, and nobody hears of it."""
    if SWALLOWED:
        return
    try:
        time.sleep(10**6)
    except BaseException:
        SWALLOWED.append(True)


def disguises() -> None:
    """What C code does with an exception of the Python code that it calls."""
    try:
        time.sleep(10**6)
    except BaseException:
        raise ValueError("could not determine the shape") from None


@pytest.mark.parametrize(
    "hang", [pytest.param(sleeps, marks=rarely()), works, swallows, pytest.param(disguises, marks=rarely())]
)
def test_a_plan_that_hangs_is_a_failed_trial_and_the_next_one_is_as_ever(
    bench: Bench, hang: Callable[[], None]
) -> None:
    before = bench.trial(PLAN, SPEC)
    with limited(bench.pipeline.time_limit, LIMIT_S), hanging(bench, hang):
        trial = bench.trial(PLAN, SPEC)
    after = bench.trial(PLAN, SPEC)
    assert (trial.status, trial.reason) == ("failed", LONGER)
    assert (after.status, after.losses) == ("ok", before.losses)


def test_what_hangs_between_calls_is_a_failed_trial(bench: Bench) -> None:
    def enough(*_: object) -> bool:
        return works() is None

    with limited(bench.pipeline.time_limit, LIMIT_S):
        trial = bench.trial(PLAN, TrialSpec(samples=2, pairs=2, enough=enough))
    assert (trial.status, trial.reason) == ("failed", LONGER)


def test_in_another_thread_a_plan_that_hangs_is_a_failed_trial_too(bench: Bench) -> None:
    """Where a program measures in a thread of its own, there is no signal for it."""
    found: list[Any] = []

    def measure() -> None:
        with limited(bench.pipeline.time_limit, LIMIT_S), hanging(bench, works):
            found.append(bench.trial(PLAN, SPEC))

    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
    assert [(trial.status, trial.reason) for trial in found] == [("failed", LONGER)]


@pytest.mark.parametrize(
    "drawn", [False, pytest.param(True, marks=rarely())], ids=["when it draws", "when it is timed"]
)
def test_a_baseline_that_hangs_is_an_error_and_not_the_plans(bench: Bench, drawn: bool) -> None:
    if drawn:
        bench.begin("search", range(2), None)
    with (
        limited(bench.pipeline.time_limit, LIMIT_S),
        hanging(bench, sleeps, "baseline"),
        pytest.raises(MeasurementError, match=f"The baseline itself fails: {LONGER}"),
    ):
        bench.trial(PLAN, SPEC)


@pytest.mark.full  # a trial's is above
def test_a_profile_of_a_plan_that_hangs_is_an_error(bench: Bench) -> None:
    def stalls(*_: object) -> None:
        if torch.is_inference_mode_enabled() or bench.pipeline.time_limit.under_way:
            sleeps()

    handle = bench.pipe.unet.register_forward_pre_hook(stalls)
    try:
        with limited(bench.pipeline.time_limit, LIMIT_S), pytest.raises(MeasurementError, match="Time-out"):
            profile(bench, PLAN, batch_sizes=(1,), pairs=1)
    finally:
        handle.remove()


def test_what_the_baseline_takes_is_not_the_trials() -> None:
    limit = TimeLimit()
    limit.given_s = 10.0
    with limit.trial():
        assert limit.under_way is not None
        before = limit.under_way.until
        with limit.baseline(), limit.call():
            time.sleep(0.05)
        assert limit.under_way.until >= before + 0.05
        with limit.call():
            kept = limit.under_way.until
        assert limit.under_way.until == kept, "a limit that was given is for the whole trial"
    assert limit.under_way is None


def test_without_a_given_limit_a_call_may_take_many_times_what_the_baseline_takes() -> None:
    limit = TimeLimit()
    assert limit.seconds == UNKNOWN_S
    with limit.trial(), limit.baseline(), limit.call():
        pass
    assert limit.seconds == LEAST_S
    limit._baseline_s = LEAST_S
    assert limit.seconds == TIMES * LEAST_S
    assert limit.reason == "Time-out: no call ended within 6000 s; the longest of the baseline took 300 s"
    with limit.trial():
        assert limit.under_way is not None
        limit.under_way.until = 0.0
        with limit.call():
            pass
        assert limit.under_way.until > 0, "each call that ends is a sign of life"
