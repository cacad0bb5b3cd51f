"""What a person would write and what is meant; what is refused in one sentence, with a sentence that works."""

from __future__ import annotations

from typing import Any

import pytest

from hasten.errors import InputError, RequestError
from hasten.language._quality import STRICTEST
from hasten.language.parse import parse
from hasten.methods import METHODS

LOSSLESS = {"lossless": True, "max_loss": {"clip_score": STRICTEST}}


def _x(speedup: float, **more: Any) -> dict[str, Any]:
    return {"target": {"speedup": speedup}, "methods": None, **more}


MEANT: list[tuple[str, dict[str, Any]]] = [
    ("make my SDXL 2x faster w/o losing quality", _x(2, **LOSSLESS)),
    ("2x faster SDXL lossless", _x(2, **LOSSLESS)),
    ("在不损失画质的前提下，让PixArt-Sigma越快越好", {"methods": None, "target": None, **LOSSLESS}),
    ("speed up stable diffusion 1.5 by 50%", _x(1.5, model="SD1.5")),
    ("SD1.5加速50%", _x(1.5)),
    ("SDXL提速200%", _x(3)),
    ("Cut SD1.5 generation time in half with deepcache", _x(2, methods=["deepcache"])),
    (
        "将SD2.1的延迟降低一半，使用ToMe（合并比例0.5）",
        _x(2, methods=["tome"], parameters={"tome": {"ratio": 0.5}}),
    ),
    ("Reduce SDXL latency by 60% using DeepCache and T-GATE", _x(2.5, methods=["deepcache", "tgate"])),
    ("SDXL, 30% less time", _x(1.4286)),
    ("SDXL in no more than 40% of the time it takes now", _x(2.5)),
    ("SDXL from 6 s to 3 s per image", _x(2)),
    ("SD1.5 at 10 images per second", {"target": {"latency_s": 0.1}, "methods": None}),
    (
        "sdxl base 1.0, 1024x1024, 30 steps, dpm++ 2m sde karras, 1.8x, CLIP score drop < 1%",
        _x(
            1.8,
            model="SDXL",
            height=1024,
            width=1024,
            steps=30,
            scheduler="DPM-Solver++-SDE-Karras",
            max_loss={"clip_score": 0.01},
        ),
    ),
    (
        "SDXL, 768x1344, 25 steps, guidance 7, batch size 4, 1.5x",
        _x(1.5, height=768, width=1344, steps=25, guidance_scale=7.0, batch_size=4),
    ),
    ("SDXL 2x on cuda in fp16", _x(2, device="cuda", dtype="float16")),
    (
        "SSIM must stay above 0.9, SDXL 25 steps deepcache 1.5x",
        _x(1.5, methods=["deepcache"], steps=25, max_loss={"ssim": 0.1}),
    ),
    ("SDXL 2x, CLIP score may drop no more than 2 percent", _x(2, max_loss={"clip_score": 0.02})),
    ("SDXL加速2倍，CLIP分数下降不超过1个百分点", _x(2, max_loss={"clip_score": 0.01})),
    ("SDXL at least 2 times faster but not using ToMe", _x(2, excluded=["tome"])),
    ("SDXL 2倍速，不要用TGATE", _x(2, excluded=["tgate"])),
    ("SDXL 2x without deepcache", _x(2, excluded=["deepcache"])),
    ("SDXL 2x with deepcache or tgate", _x(2, methods=["deepcache", "tgate"], one_of=True)),
    ("用DeepCache（缓存间隔3）加速SD1.5", {"parameters": {"deepcache": {"cache_interval": 3}}, "target": None}),
    ("SD1.5 with deepcache interval 3", {"parameters": {"deepcache": {"cache_interval": 3}}}),
    ("SD1.5 with deepcache, interval=5", {"parameters": {"deepcache": {"cache_interval": 5}}}),
    ("SD1.5 with DeepCache every 3 steps", {"parameters": {"deepcache": {"cache_interval": 3}}, "steps": 50}),
    ("SD1.5 deepcache branch 1", {"parameters": {"deepcache": {"cache_branch_id": 1}}}),
    ("SDXL 2x, allow 5% loss", _x(2, max_loss={"clip_score": 0.05})),
    ("SDXL 2x, quality loss 2% max", _x(2, max_loss={"clip_score": 0.02})),
    ("SDXL加速2倍，精度损失小于百分之二", _x(2, max_loss={"clip_score": 0.02})),
    ("SDXL加速2倍，画质不能明显下降", _x(2, max_loss={"clip_score": 0.02})),
    ("SDXL加速2倍，画质基本不变", _x(2, max_loss={"clip_score": 0.02}, lossless=None)),
    ("SDXL 2x, almost lossless", _x(2, max_loss={"clip_score": 0.02}, lossless=None)),
    ("SDXL 2x with practically no loss of quality", _x(2, max_loss={"clip_score": 0.02}, lossless=None)),
    ("SDXL 2x, nearly the same image quality", _x(2, max_loss={"clip_score": 0.02}, lossless=None)),
    ("SDXL，采样步数三十步", {"steps": 30, "methods": []}),
    ("SDXL，步数25步", {"steps": 25, "methods": []}),
    ("Speed up runwayml/stable-diffusion-v1-5 2x", _x(2, model="SD1.5")),
    ("Speed up Lykon/dreamshaper-8 2x", _x(2, model="Lykon/dreamshaper-8")),
    ("SD1.5 accelerated by ['deepcache', 'tgate']", {"methods": ["deepcache", "tgate"]}),
    ("StableDiffusionXLPipeline 2x", _x(2, model="SDXL")),
    ("Make a Stable Diffusion pipeline 2x faster", _x(2, model="SD1.5")),
    ("SDXL 2x, height 768", _x(2, height=768, width=768)),
    ("SDXL 2x without CFG", _x(2, guidance_scale=1.0)),
    ("SDXL 2x but don't reduce the steps", _x(2, excluded=["fewer_steps"])),
    ("SDXL 2x, quality doesn't matter", _x(2, max_loss={})),
    ("SD1.5 2x, psnr above 30 dB", _x(2, max_loss={"psnr": 0.5})),
]


@pytest.mark.parametrize(("sentence", "meant"), MEANT, ids=[sentence for sentence, _ in MEANT])
def test_what_is_meant(sentence: str, meant: dict[str, Any]) -> None:
    task = parse(sentence).to_json()
    assert {name: task.get(name) for name in meant} == meant


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("SDXL 2x lossless", "lossless: only methods that draw the same images apart from rounding"),
        ("SDXL 2x lossless", "loss limit 0.001: the strictest that can be told from none"),
        ("SDXL 2x with DeepCache, lossless", "since the methods that are named are not exact"),
        ("SDXL提速200%", "speedup 3x or more: the reading of '提速200%'"),
        ("SDXL from 6 s to 3 s per image", "speedup 2x or more: the reading of 'from 6 s to 3 s per image'"),
        ("SDXL 2x，画质不能明显下降", "loss limit 0.02: the default, for '画质不能明显下降'"),
        ("SDXL 2x with deepcache or tgate", "DeepCache or T-GATE: each is tried alone"),
        ("SDXL 2x without ToMe", "methods any but ToMe: the others are open"),
        ("Make a Stable Diffusion pipeline 2x faster", "model SD1.5: what 'Stable Diffusion' is taken for"),
        ("StableDiffusionXLPipeline 2x", "model SDXL: what 'StableDiffusionXLPipeline' is taken for"),
        ("SD1.5 with deepcache interval 3", "cache_interval 3: the reading of 'interval 3'"),
        ("SD1.5 2x, 768x512", "height 768, width 512: the reading of '768x512'"),
        ("SD1.5 2x, SSIM above 0.9", "loss limit 0.1 of ssim: the reading of 'SSIM above 0.9'"),
    ],
)
def test_what_is_assumed_is_said(sentence: str, said: str) -> None:
    assert any(said in assumption for assumption in parse(sentence).assumptions)


@pytest.mark.parametrize(
    ("sentence", "chatter"),
    [
        ("How do I make SDXL 2x faster?", "How do I"),
        ("SDXL 2x faster on my 4090", "on my 4090"),
        ("SDXL is too slow at the moment, make it 2x faster", "at the moment"),
        ("用DeepCache加速SDXL，看看能快多少", "看看能快多少"),
        ("目前SDXL太慢了，加速2倍", "目前"),
    ],
)
def test_chatter_is_skipped_and_said_to_be(sentence: str, chatter: str) -> None:
    assert any(said.startswith(f"skipped {chatter!r}: ") for said in parse(sentence).assumptions)


def test_chatter_hides_no_stranger() -> None:
    with pytest.raises(RequestError, match="could not place 'banana'"):
        parse("How do I make SDXL 2x faster on my 4090 with a banana?")


@pytest.mark.parametrize(
    ("sentence", "which"),
    [
        ("SDXL up to 2x", "'up to 2x'"),
        ("SDXL at most 2x faster", "'at most 2x faster'"),
        ("SDXL 1.5-2x faster", "'1.5-2x faster'"),
        ("SDXL between 1.5x and 2x", "'between 1.5x and 2x'"),
        ("SDXL 20-30% faster", "'20-30% faster'"),
        ("SDXL最多加速2倍", "'最多加速2倍'"),
        ("SDXL加速1.5到2倍", "'加速1.5到2倍'"),
    ],
)
def test_a_target_whose_end_is_open_is_refused(sentence: str, which: str) -> None:
    with pytest.raises(RequestError) as told:
        parse(sentence)
    assert str(told.value).startswith(f"{which} leaves open which end is meant: hasten looks for a least speedup")


@pytest.mark.parametrize(
    ("sentence", "said", "has"),
    [
        ("SDXL 2x with TeaCache", "TeaCache", "for transformers FasterCache, First-block cache, MagCache"),
        ("SDXL 2x with xformers", "xformers", "Attention backend"),
        ("SDXL 2x with LCM-LoRA", "LCM-LoRA", "other weights, distilled for few steps"),
        ("SDXL lightning 2x", "lightning", "other weights, distilled for few steps"),
        ("SDXL with dpm++ 3m sde, 2x", "dpm++ 3m sde", "DPM-Solver++-SDE ('DPM++ 2M SDE')"),
        ("SDXL with euler karras, 2x", "karras", "'DPM++ 2M Karras'"),
        ("SDXL 2x with TensorRT", "TensorRT", "Compile, CUDA graph and Channels last"),
        ("SDXL 2x, LPIPS below 0.1", "LPIPS", "the metrics clip_score, ssim"),
    ],
)
def test_what_hasten_has_instead_is_said(sentence: str, said: str, has: str) -> None:
    with pytest.raises(RequestError) as told:
        parse(sentence)
    assert str(told.value).startswith(f"{said!r} is none of hasten's names: ")
    assert has in str(told.value) and told.value.words == (said,)


def test_an_adapter_that_is_named_for_a_scheduler_asks_for_no_scheduler() -> None:
    """The sentence of the refusal would else have undistilled weights drawn by the LCM scheduler."""
    with pytest.raises(RequestError) as told:
        parse("SDXL 2x with LCM-LoRA, 20 steps")
    assert "Understood: SDXL, '2x', '20 steps'. " in str(told.value)
    assert "using the Euler sampler with 20 steps" in str(told.value)
    assert parse("SDXL 2x with LCM, 20 steps").scheduler == "LCM"


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("SDXL 2x with DeepCache but not DeepCache", "asks for DeepCache and excludes it"),
        ("SD1.5 without ToMe", "excludes ToMe, and asks for no acceleration"),
        ("SDXL 2x with deepcache and tgate or tome", "joins methods by 'and' and by 'or'"),
        ("SDXL 2x, loss below 1%, no loss limit", "a loss limit and for none"),
        ("SDXL 2x at 500x500", "The height is 500: allowed is a multiple of 8"),
        ("SDXL 2x, batch size 0", "The batch size is 0: allowed is a whole number"),
        ("SDXL 2x, batch size 2, batch size 4", "gives batch_size twice: 2 and 4"),
        ("SDXL, reduce latency by 100%", "reduced by 100%: allowed is more than 0%, less than 100%"),
        ("SDXL 0.5x faster", "The target is 0.5x, which the plain pipeline has already"),
        ("SDXL at 80% of its speed", "The target is 0.8x, which the plain pipeline has already"),
        ("SDXL from 3 s to 6 s", "is no speedup: the second time has to be shorter"),
        ("SDXL 2x, clip score above 0.3", "is a limit of the score itself"),
        ("SDXL 2x, SSIM above 1.5", "The least SSIM is 1.5: allowed is 0 to 1"),
        ("SDXL with T-GATE interval 3", "not plain which parameter 'interval 3' is: sp_interval or fi_interval"),
        ("SDXL 2x, interval 3", "not plain which parameter 'interval 3' is"),
    ],
)
def test_contradictions_and_figures_out_of_range(sentence: str, message: str) -> None:
    with pytest.raises(InputError) as told:
        parse(sentence)
    assert message in str(told.value)


def test_a_refusal_shows_what_was_understood_and_a_sentence_that_works() -> None:
    with pytest.raises(RequestError) as told:
        parse("Make SDXL 2x faster with DeepCache, 30 steps, loss below 1%, and a banana")
    assert str(told.value) == (
        "I could not place 'banana' in the request. Understood: SDXL, DeepCache, '2x faster', '30 steps', "
        "'loss below 1%'. This is a request: 'Generate a SDXL pipeline using the Euler sampler with 30 steps, "
        "accelerated by DeepCache with 2x speedup and precision loss not exceeding 0.01'."
    )


@pytest.mark.parametrize("text", ["SDXL 2x " * 12_500, "x" * 100_000, "加速" * 50_000, "at most " * 12_500])
def test_a_line_of_100_kb_is_answered_at_once(text: str) -> None:
    with pytest.raises(RequestError, match="characters: allowed are 5000"):
        parse(text)


def test_a_long_list_of_methods_is_read_at_once() -> None:
    listed = ", ".join(METHODS.get(name).title for name in METHODS.names())
    task = parse(f"Make SDXL 1.5x faster with one of {listed} and no loss limit")
    assert task.one_of and set(task.methods or ()) == set(METHODS.names())
