"""Readings of rates, shares and names that are near each other: which figure is meant, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from hasten.errors import InputError
from hasten.language.parse import parse


@pytest.mark.parametrize(
    ("sentence", "steps", "latency_s"),
    [
        ("SDXL at 3 it/s", 50, 50 / 3),
        ("SDXL 3 it/s", 50, 50 / 3),
        ("SDXL at 3.00it/s, 30 steps", 30, 10),
        ("SD1.5 with 20 steps/s", 50, 2.5),
        ("SD1.5 at least 20 steps per second", 50, 2.5),
        ("SDXL 120 iterations per minute, 20 steps", 20, 10),
        ("SDXL每秒3步", 50, 50 / 3),
        ("SDXL，30步，3步/秒", 30, 10),
        ("SD1.5 1.5s/it", 50, 75),
        ("SD1.5 0.05 s/it", 50, 2.5),
        ("SD1.5 latency at most 0.05 s/it", 50, 2.5),
        ("SD1.5 at 0.05 s per step", 50, 2.5),
        ("SD1.5 each step in at most 50 ms", 50, 2.5),
        ("SDXL每步不超过50毫秒", 50, 2.5),
    ],
)
def test_the_time_of_a_step_is_a_latency_at_the_number_of_steps(
    sentence: str, steps: int, latency_s: float
) -> None:
    task = parse(sentence)
    assert task.steps == steps and task.target is not None
    assert task.target.latency_s == pytest.approx(latency_s)
    assert any(
        said.startswith(f"latency {latency_s:g} s an image: the reading of '")
        and said.endswith(f"at {steps} steps")
        for said in task.assumptions
    )


@pytest.mark.parametrize(
    ("sentence", "target", "said"),
    [
        ("SDXL 10 images in 30 seconds", {"latency_s": 3}, "latency 3 s an image: the reading of"),
        ("SDXL 10 images in under 30 seconds", {"latency_s": 3}, "latency 3 s an image: the reading of"),
        ("SDXL，30秒内生成10张图", {"latency_s": 3}, "latency 3 s an image: the reading of"),
        ("SDXL at 120% speed", {"speedup": 1.2}, "speedup 1.2x or more: the reading of 'at 120% speed'"),
        ("SDXL speed 120%", {"speedup": 1.2}, "speedup 1.2x or more: the reading of 'speed 120%'"),
        ("SDXL 150% as fast as before", {"speedup": 1.5}, "the reading of '150% as fast as before'"),
        ("SDXL 50% more speed", {"speedup": 1.5}, "the reading of '50% more speed'"),
        ("SDXL +50% speed", {"speedup": 1.5}, "the reading of '+50% speed'"),
        ("a 50% speed increase for SDXL", {"speedup": 1.5}, "the reading of '50% speed increase'"),
        ("SDXL a third faster", {"speedup": 1.3333}, "the reading of 'a third faster'"),
        ("SDXL提速三成", {"speedup": 1.3}, "the reading of '提速三成'"),
        ("SDXL耗时减少三成", {"speedup": 1.4286}, "the reading of '耗时减少三成'"),
        ("SDXL快三分之一", {"speedup": 1.3333}, "the reading of '快三分之一'"),
    ],
)
def test_a_rate_or_a_share_is_read_and_said(sentence: str, target: dict[str, float], said: str) -> None:
    task = parse(sentence)
    assert task.target is not None and task.target.model_dump(exclude_none=True) == target
    assert any(said in assumption for assumption in task.assumptions)


MEANT: list[tuple[str, dict[str, Any]]] = [
    ("SDXL one and a half times as fast", {"target": {"speedup": 1.5}}),
    ("SDXL 2x half a percent loss", {"max_loss": {"clip_score": 0.005}}),
    ("SD1.5 20 steps per image, 2x", {"steps": 20, "target": {"speedup": 2}}),
]


@pytest.mark.parametrize(("sentence", "meant"), MEANT, ids=[sentence for sentence, _ in MEANT])
def test_what_is_meant(sentence: str, meant: dict[str, Any]) -> None:
    task = parse(sentence).to_json()
    assert {name: task.get(name) for name in meant} == meant


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("SDXL at 75% speed", "The target is 0.75x, which the plain pipeline has already"),
        ("SDXL 50% as fast", "The target is 0.5x, which the plain pipeline has already"),
        ("SDXL half as fast", "The target is 0.5x, which the plain pipeline has already"),
        ("SD1.5 0 it/s", "The number of steps a s is 0: allowed is more than 0"),
        ("SD1.5 3 it/h", "could not place"),
        ("SDXL 3 it/s and 2x", "asks for a speedup (2x) and for a latency (16.6667 s an image)"),
    ],
)
def test_what_is_refused(sentence: str, message: str) -> None:
    with pytest.raises(InputError) as told:
        parse(sentence)
    assert message in str(told.value)
