"""Which losses keep their limits, on one side and on both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hasten.limits import Limits
from hasten.records import Loss


def loss(value: float, low: float, high: float, metric: str = "clip_score") -> Loss:
    return Loss(
        metric=metric,
        baseline=1.0,
        score=1 - value,
        loss=value,
        interval=(low, high),
        baseline_scores=(1.0, 1.0),
        scores=(1 - value, 1 - value),
    )


CASES = [  # mean, interval, one-sided verdict, two-sided verdict, and whether the mean breaks the limit of 0.02
    (0.00, (-0.01, 0.01), "inside", "inside", False, False),
    (0.01, (0.00, 0.02), "open", "open", False, False),
    (0.03, (0.025, 0.035), "outside", "outside", True, True),
    (-0.03, (-0.035, -0.025), "inside", "outside", False, True),
    (-0.01, (-0.03, 0.01), "inside", "open", False, False),
    (0.0, (-0.03, 0.03), "open", "open", False, False),
    (0.02, (0.02, 0.03), "open", "open", True, True),
]


@pytest.mark.parametrize(("mean", "interval", "one", "two", "breaks", "breaks_either_way"), CASES)
def test_a_limit_on_one_side_and_on_both(
    mean: float, interval: tuple[float, float], one: str, two: str, breaks: bool, breaks_either_way: bool
) -> None:
    losses = {"clip_score": loss(mean, *interval)}
    single, window = Limits({"clip_score": 0.02}), Limits({"clip_score": 0.02}, two_sided=True)
    assert (single.verdict(losses), window.verdict(losses)) == (one, two)
    assert (bool(single.broken(losses)), bool(window.broken(losses))) == (breaks, breaks_either_way)


def test_refuted_is_what_the_whole_interval_is_beyond() -> None:
    limits = Limits({"clip_score": 0.02}, two_sided=True)
    assert limits.refuted({"clip_score": loss(0.03, 0.02, 0.04)}) == ["clip_score"]
    assert limits.refuted({"clip_score": loss(-0.03, -0.04, -0.02)}) == ["clip_score"]
    assert limits.refuted({"clip_score": loss(0.03, 0.019, 0.04)}) == []
    assert limits.refuted({}) == []


def test_all_limits_must_be_kept_and_measured() -> None:
    limits = Limits({"clip_score": 0.02, "ssim": 0.2})
    inside = {"clip_score": loss(0.0, -0.01, 0.01)}
    assert limits.verdict(inside) == "open" and limits.broken(inside) == ["ssim"]
    both = {**inside, "ssim": loss(0.3, 0.25, 0.35, "ssim")}
    assert limits.verdict(both) == "outside" and limits.broken(both) == ["ssim"]
    assert str(limits) == "0.02 and 0.2 (ssim)"
    assert str(Limits({"ssim": 0.2}, True)) == "0.2 (ssim) either way"


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1), st.booleans(), st.floats(1, 3))
def test_a_wider_interval_never_decides_what_a_narrower_one_left_open(
    mean: float, down: float, up: float, limit: float, two_sided: bool, stretch: float
) -> None:
    limits, losses = Limits({"m": limit}, two_sided), {"m": loss(mean, mean - down, mean + up, "m")}
    narrow, wide = limits.verdict(losses), limits.verdict(losses, stretch)
    assert wide in (narrow, "open")
    if narrow == "inside":
        assert not limits.broken(losses)
    if narrow == "outside":
        assert limits.broken(losses) and limits.refuted(losses)
