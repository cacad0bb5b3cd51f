"""The order of the calls, what is inside the timed part, and the denoiser's share."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from hasten.errors import InputError
from hasten.measure.timing import UntilKnown, interleaved
from hasten.records import Latency

Log = list[str]


def call(log: Log, name: str) -> Callable[[], None]:
    return lambda: log.append(name)


def around(log: Log) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def entered() -> Iterator[None]:
        log.append("(")
        yield
        log.append(")")

    return entered


def test_baseline_and_plan_take_turns_in_alternating_order() -> None:
    log: Log = []
    latency = interleaved(call(log, "A"), call(log, "B"), pairs=4, warmup=2)
    assert "".join(log) == "AABB" + "ABBAABBA"
    assert len(latency.baseline_times_s) == len(latency.times_s) == 4
    assert latency.speedup == pytest.approx(latency.baseline_s / latency.plan_s)


def test_a_warm_baseline_needs_no_warm_up() -> None:
    log: Log = []
    interleaved(call(log, "A"), call(log, "B"), pairs=1, warmup=2, warmup_a=0)
    assert "".join(log) == "BB" + "AB"


def test_a_plan_is_installed_for_its_own_calls_only() -> None:
    log: Log = []
    interleaved(call(log, "A"), call(log, "B"), pairs=2, warmup=1, around_b=around(log))
    assert "".join(log) == "A(B)" + "A(B)" + "(B)A"


def test_installing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def spend(seconds: float) -> Callable[[], None]:
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    @contextmanager
    def slow() -> Iterator[None]:
        spend(100)()
        yield
        spend(100)()

    latency = interleaved(spend(6), spend(2), pairs=3, around_b=slow)
    assert latency.times_s == (2.0, 2.0, 2.0)
    assert latency.baseline_times_s == (6.0, 6.0, 6.0)
    assert (latency.speedup, latency.interval) == (3.0, (3.0, 3.0))


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_fewer_than_three_pairs_have_no_interval(pairs: int) -> None:
    latency = interleaved(lambda: None, lambda: None, pairs=pairs)
    assert len(latency.times_s) == pairs and (latency.interval is None) == (pairs < 3)
    assert any("there is no interval" in text for text in latency.warnings) == (pairs < 3)
    assert Latency.model_validate_json(latency.model_dump_json()) == latency


def test_timing_ends_when_it_is_enough() -> None:
    seen: list[int] = []

    def enough(baseline: Sequence[float], plan: Sequence[float]) -> bool:
        seen.append(len(baseline))
        return len(plan) == 3

    latency = interleaved(lambda: None, lambda: None, pairs=9, enough=enough)
    assert seen == [1, 2, 3]
    assert len(latency.times_s) == 3


def test_the_denoisers_share_is_timed_beside() -> None:
    denoiser, other = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
    x = torch.zeros(256, 64)
    latency = interleaved(
        lambda: [denoiser(x), other(x), denoiser(x)],
        lambda: [other(x) for _ in range(50)],
        pairs=3,
        denoiser=denoiser,
    )
    shares = latency.baseline_denoiser_times_s
    assert all(0 < share < total for share, total in zip(shares, latency.baseline_times_s, strict=True))
    assert latency.denoiser_times_s == (0.0, 0.0, 0.0)
    assert not denoiser._forward_hooks
    assert not denoiser._forward_pre_hooks


def test_a_crash_leaves_no_timer_behind() -> None:
    denoiser = torch.nn.Linear(2, 2)
    with pytest.raises(RuntimeError):
        interleaved(lambda: None, lambda: denoiser(torch.zeros(3)), denoiser=denoiser)
    assert not denoiser._forward_hooks
    assert not denoiser._forward_pre_hooks


def test_progress_is_reported() -> None:
    told: list[str] = []
    interleaved(lambda: None, lambda: None, pairs=2, report=told.append)
    assert told == ["latency 1/2", "latency 2/2"]


@pytest.mark.parametrize(("pairs", "warmup"), [(0, 1), (-1, 1), (3, -1)])
def test_numbers_of_calls_that_cannot_be(pairs: int, warmup: int) -> None:
    with pytest.raises(InputError, match="allowed"):
        interleaved(lambda: None, lambda: None, pairs=pairs, warmup=warmup)


def test_a_timing_that_ends_undecided_says_so() -> None:
    restless = iter([0.0, 0.02, 0.0, 0.04, 0.01, 0.03, 0.0, 0.05] * 2)
    found = interleaved(lambda: time.sleep(next(restless)), lambda: None, pairs=6, enough=UntilKnown(3))
    assert any(w.startswith("After 6 pairs, the most that are timed") for w in found.warnings)
    decided = interleaved(lambda: None, lambda: None, pairs=6, enough=lambda a, b: True)
    assert not any(w.startswith("After ") for w in decided.warnings)


def test_the_pairs_of_a_restless_timing_beyond_those_asked_for_take_no_longer_than_they_may() -> None:
    """Five times as many were left: a machine that is busy for good would never come to an end."""
    restless = itertools.cycle([0.0, 0.02, 0.0, 0.04, 0.01, 0.03])
    enough = UntilKnown(3, longest_s=0.05)
    found = interleaved(lambda: time.sleep(next(restless)), lambda: None, pairs=500, enough=enough)
    done = len(found.times_s)
    assert enough.gave_up and 3 < done < 500
    beyond = [sum(times[3 : done - 1]) for times in (found.baseline_times_s, found.times_s)]
    assert sum(beyond) < 0.05 <= sum(found.baseline_times_s[3:]) + sum(found.times_s[3:])
    assert any(w.startswith(f"After {done} pairs, the most that are timed") for w in found.warnings)


def test_a_speedup_is_known_when_its_interval_is_narrow() -> None:
    steady = [1.0, 1.001] * 4
    assert UntilKnown(7)(steady[:7], [t / 2 for t in steady[:7]])
    assert not UntilKnown(7)(steady[:6], [t / 2 for t in steady[:6]])
    restless = [1.0, 1.5, 0.8, 1.2, 1.1, 0.9, 1.4]
    assert not UntilKnown(7)(restless, [0.5] * 7)


def test_a_decided_speedup_need_not_be_known_to_two_percent() -> None:
    restless = [1.0, 1.5, 0.8, 1.2, 1.1, 0.9, 1.4]
    asked: list[tuple[float, float]] = []

    def decided(low: float, high: float) -> bool:
        asked.append((low, high))
        return low > 1.2

    assert UntilKnown(7, decided)(restless, [0.5] * 7)
    assert not UntilKnown(7, decided)(restless, [0.8] * 7)
    assert not UntilKnown(8, decided)(restless, [0.5] * 7), "before so many pairs nothing is decided"
    assert len(asked) == 2 and all(low < high for low, high in asked)
