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
        ("SDXL快两倍", {"speedup": 2}, "speedup 2x or more: the reading of '快两倍'"),
        ("SDXL快1.5倍", {"speedup": 1.5}, "speedup 1.5x or more: the reading of '快1.5倍'"),
        ("SDXL速度提升两倍", {"speedup": 2}, "speedup 2x or more: the reading of '速度提升两倍'"),
        ("SDXL比原来快2倍", {"speedup": 2}, "speedup 2x or more: the reading of '快2倍'"),
        ("SDXL twice faster", {"speedup": 2}, "speedup 2x or more: the reading of 'twice faster'"),
        ("SDXL speedup of 50", {"speedup": 50}, "speedup 50x or more: the reading of 'speedup of 50'"),
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
    ("SDXL 2x don't lose more than 3%", {"max_loss": {"clip_score": 0.03}}),
    ("SDXL 2x quality loss of 5 percent on SSIM", {"max_loss": {"ssim": 0.05}}),
    ("SDXL 2x 5% loss on SSIM", {"max_loss": {"ssim": 0.05}}),
    ("SDXL至少快1倍,最多损失5%的画质", {"target": {"speedup": 2}, "max_loss": {"clip_score": 0.05}}),
    ("SDXL是原来的2倍快", {"target": {"speedup": 2}}),
    ("SDXL Not 2x but 3x", {"target": {"speedup": 3}}),
    ("SDXL 3x, not 2x", {"target": {"speedup": 3}}),
    ("SDXL不是2倍，而是3倍", {"target": {"speedup": 3}}),
    ("stable diffusion 2 2x", {"model": "SD2.1", "target": {"speedup": 2}}),
    ("stable diffusion 2x faster", {"model": "SD1.5", "target": {"speedup": 2}}),
    ("stable diffusion 2 times faster", {"model": "SD1.5", "target": {"speedup": 2}}),
    ("SDXL 2x neither DeepCache nor ToMe", {"methods": None, "excluded": ["deepcache", "tome"]}),
    ("SDXL 2x anything except compile", {"methods": None, "excluded": ["compile"]}),
    ("SDXL 2x any method but compile", {"methods": None, "excluded": ["compile"]}),
    ("SDXL快2倍,除了compile都可以", {"methods": None, "excluded": ["compile"]}),
    ("SDXL 2x，除了compile之外其他方法都行", {"methods": None, "excluded": ["compile"]}),
    ("SDXL 2x with ToMe or DeepCache, whichever is faster", {"methods": ["deepcache", "tome"], "one_of": True}),
    ("SDXL 2x without T-Gate and ToMe but with DeepCache", {"methods": ["deepcache"]}),
    ("SDXL 2x 512 wide and 768 high", {"height": 768, "width": 512, "target": {"speedup": 2}}),
    ("SDXL 2x 512x768", {"height": 512, "width": 768, "target": {"speedup": 2}}),
    ("SD1.5,512x768,2倍", {"height": 512, "width": 768, "target": {"speedup": 2}}),
    ("FLUX.1-dev, bf16, 2x", {"methods": None, "dtype": "bfloat16"}),
    ("SD1.5 fp16 2x", {"methods": None, "dtype": "float16"}),
    ("SD1.5 float16 2x", {"methods": None, "dtype": "float16"}),
    ("SD1.5 half precision 2x", {"methods": None, "dtype": "float16"}),
    ("SD1.5，半精度，2倍", {"methods": None, "dtype": "float16"}),
    ("SD1.5 2x with half precision", {"methods": ["half_precision"], "dtype": None}),
    ("SD1.5 2x with fp16", {"methods": ["half_precision"], "dtype": None}),
    ("SD1.5 2x with DeepCache and fp16", {"methods": ["deepcache", "half_precision"], "dtype": None}),
    ("SD1.5 2x without fp16", {"methods": None, "excluded": ["half_precision"], "dtype": None}),
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
        ("speed SDXL up by 50", "'by 50' may be 50% or 50x: write one of them, as in 'by 50%'"),
        ("SDXL 1.2x slower", "'1.2x slower' asks for less speed"),
        ("SDXL 40% speed reduction", "'40% speed reduction' asks for less speed"),
        ("SDXL not 2x", "says which speedup is not meant, and none that is"),
        (
            "SDXL 2x no caching methods",
            "'no caching methods' names a kind of methods: hasten knows methods by name",
        ),
        ("SDXL 2x with ToMe or DeepCache, whichever", "could not place 'whichever'"),
        ("SDXL 2x seed 42", "the flag --seed"),
        ("SDXL 2倍，随机种子42", "the flag --seed"),
        ("SDXL 2x at most 20 trials", "the flag --max-trials"),
        ("SDXL 2x search for at most 10 minutes", "the flag --max-time"),
        ("SDXL 2x within 10 minutes", "A limit on the time of the search is the flag --max-time"),
        ("SDXL 2x within 2 hours", "the flag --max-time"),
        ("SDXL 2x, 32 samples", "the flag --num-samples"),
        ("SD1.4 2x", "a folder (./my-model) and a hub id (owner/name)"),
        ("Sana 2x", "No model that hasten knows is named: there are FLUX.1-dev, "),
        ("stable diffusion 2.0 2x", "Unknown model 'stable diffusion 2.0'"),
        ("SDXL 3 it/s and 2x", "asks for a speedup (2x) and for a latency (16.6667 s an image)"),
    ],
)
def test_what_is_refused(sentence: str, message: str) -> None:
    with pytest.raises(InputError) as told:
        parse(sentence)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("SD1.5 fp16 2x", "dtype float16: the reading of 'fp16', of baseline and plan"),
        ("SD1.5 DeepCache, fp16, 2x", "method Half precision: the reading of 'fp16' beside methods"),
        ("SD1.5, fp16, DeepCache, 2x", "method Half precision: the reading of 'fp16' beside methods"),
        ("SD1.5，fp16，DeepCache，2倍", "method Half precision: the reading of 'fp16' beside methods"),
        ("stable diffusion 2 2x", "model SD2.1: what 'stable diffusion 2' is taken for"),
    ],
)
def test_how_a_name_was_taken_is_said(sentence: str, said: str) -> None:
    assert any(assumption.startswith(said) for assumption in parse(sentence).assumptions)


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("SDXL, 30 steps, never mind ToMe", "ToMe"),
        ("SDXL, 30 steps, slower by 2x", "2x"),
        ("SD1.5, 30 steps, not only DeepCache", "DeepCache"),
    ],
)
def test_a_refusal_does_not_suggest_what_was_negated(sentence: str, word: str) -> None:
    with pytest.raises(InputError) as told:
        parse(sentence)
    suggested = str(told.value).rpartition("This is a request: ")[2]
    assert word not in suggested and "30 steps" in suggested
