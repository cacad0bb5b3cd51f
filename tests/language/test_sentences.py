"""What people write, the tasks it means, and what they are told when it means none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hasten.errors import InputError, ParameterError, RequestError, UnknownNameError
from hasten.language.parse import parse
from hasten.methods import METHODS
from hasten.task import Target, Task

SENTENCES = json.loads(Path(__file__).with_name("sentences.json").read_text(encoding="utf-8"))
PLAIN = "Generate a SD1.5 pipeline using the DDIM sampler with 50 steps"

MODELS = (
    "FLUX.1-dev, FLUX.1-schnell, PixArt-alpha, PixArt-sigma, emoji-pixart, SD1.5, SD2.1, emoji-sd, SD3, "
    "SD3.5-medium, SD3.5-large, emoji-sd3, SDXL, emoji-sdxl"
)
SCHEDULERS = (
    "DDIM, DPM-Solver++, DPM-Solver++-SDE, DPM-Solver++-Karras, DPM-Solver++-SDE-Karras, UniPC, Euler, Euler-a, "
    "PNDM, Heun, LCM, FlowMatchEuler, FlowMatchHeun"
)


@pytest.mark.parametrize(
    "case", [str, str.upper, str.lower, str.title], ids=["written", "upper", "lower", "title"]
)
@pytest.mark.parametrize("sentence", SENTENCES, ids=range(len(SENTENCES)))
def test_a_sentence_is_its_task(sentence: dict, case) -> None:
    assert parse(case(sentence["text"])).to_json() == sentence["task"]


@pytest.mark.parametrize(
    "words",
    [
        "with 3x speedup",
        "with a 3X speed-up",
        "with 3× acceleration",
        "at least 3x faster",
        "3 times faster",
        "3 times as fast",
        "three times the speed",
        "threefold faster",
        "a 3-fold speedup",
        "sped up by 3x",
        "speed it up by 3",
        "accelerate it by a factor of 3",
        "speedup of 3",
        "speedup >= 3",
        "speedup ≥ 3x",
        "speedup: 3",
        "speedup=3",
        "speedup ratio of at least 3",
        "a minimum speedup of 3",
        "speedup no less than 3x",
        "3x or more",
        "3x speedup over the baseline",
        "3 times faster than the original pipeline",
        "more than 3x faster",
        "triple the speed",
        "加速3倍",
        "提速三倍",
        "3倍加速",
        "3倍速",
        "加速到3倍",
        "加速比不低于3",
        "加速比为3倍",
        "加速至少3倍",
        "速度提升3倍",
        "快3倍以上",
        "加速３倍",
    ],
)
def test_speedups(words: str) -> None:
    assert parse(f"{PLAIN}, {words}").target == Target(speedup=3)


@pytest.mark.parametrize(
    "words",
    [
        "at most 1.3 s per image",
        "under 1.3 seconds",
        "in 1.3 s",
        "within 1300 ms an image",
        "less than 1300 milliseconds per picture",
        "latency below 1.3s",
        "a latency of at most 1.3 sec",
        "reduce its latency to 1.3 s",
        "each image in 1.3 s",
        "1.3s/image",
        "faster than 1.3 s per image",
        "no longer than 1.3 seconds per image",
        "<= 1.3 s",
        "每张图不超过1.3秒",
        "每张图片1300毫秒以内",
        "延迟低于1.3秒",
        "单张图耗时不超过一点三秒",
    ],
)
def test_latencies(words: str) -> None:
    assert parse(f"{PLAIN}, {words}").target == Target(latency_s=1.3)


@pytest.mark.parametrize(
    "words",
    [
        "loss < 3%",
        "loss below 0.03",
        "quality loss at most 0.03",
        "precision loss not exceeding 3 %",
        "precision loss that does not exceed 0.03",
        "no more than 3% loss",
        "within 3% quality loss",
        "a loss limit of 0.03",
        "max loss 0.03",
        "max_loss=0.03",
        "loss <= 3 percent",
        "losing at most 3% quality",
        "without losing more than 3% of the quality",
        "quality should not drop by more than 3%",
        "accuracy drop under 3%",
        "CLIP score loss ≤ 0.03",
        "clip_score loss of 3% or less",
        "精度损失不超过0.03",
        "精度损失不超过3%",
        "质量损失小于3％",
        "精度损失在3%以内",
        "不超过3%的精度损失",
        "画质下降不超过百分之三",
        "CLIP分数损失低于0.03",
    ],
)
def test_loss_limits(words: str) -> None:
    task = parse(f"{PLAIN} and 2x speedup, {words}")
    assert task.max_loss == {"clip_score": 0.03}
    assert not any("loss limit" in assumption for assumption in task.assumptions)


@pytest.mark.parametrize(
    "words",
    [
        "50 steps",
        "50-step",
        "fifty steps",
        "steps=50",
        "steps: 50",
        "num_inference_steps=50",
        "50 sampling steps",
        "50 denoising steps",
        "a step count of 50",
        "the number of steps is 50",
        "50步",
        "步数为50",
        "五十步",
        "采样步数50",
    ],
)
def test_steps(words: str) -> None:
    assert parse(f"SD1.5, DDIM, {words}") == Task(model="SD1.5", scheduler="DDIM", steps=50)


@pytest.mark.parametrize("words", ["T-GATE", "t-gate", "TGATE", "T Gate", "tgate"])
def test_method_spellings(words: str) -> None:
    assert parse(f"{PLAIN}, accelerated by {words} and ToMe").methods == ("tgate", "tome")


@pytest.mark.parametrize("words", ["Deep Cache", "deep-cache", "DEEPCACHE"])
def test_deepcache_spellings(words: str) -> None:
    assert parse(f"{PLAIN}, accelerated by {words}").methods == ("deepcache",)


@pytest.mark.parametrize("words", ["token merging", "Token-Merging", "ToMe", "ToMeSD"])
def test_tome_spellings(words: str) -> None:
    assert parse(f"{PLAIN}, accelerated by {words}").methods == ("tome",)


@pytest.mark.parametrize(
    ("written", "model"),
    [
        ("./my-model", "./my-model"),
        ("../Models/SD1.5", "../Models/SD1.5"),
        ("/data/My_Model.v2", "/data/My_Model.v2"),
        ("~/models/x", "~/models/x"),
        ("'my models/The Best'", "my models/The Best"),
        ('the "My-Model" folder', "My-Model"),
        ("“./我的模型”", "./我的模型"),
        (r"'C:\models\sd'", r"C:\models\sd"),
        ("Some-Org/Some.Model_1", "Some-Org/Some.Model_1"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "SD1.5"),
        ('"SDXL"', "SDXL"),
        ("an SD 1.5 model", "SD1.5"),
        ("SD v1.5", "SD1.5"),
        ("stable-diffusion-xl-base-1.0", "SDXL"),
        ("Stable-Diffusion-XL", "SDXL"),
        ("SD3", "SD3"),
        ("Stable Diffusion 3", "SD3"),
        ("stabilityai/stable-diffusion-3-medium-diffusers", "SD3"),
        ("SD 3.5", "SD3.5-medium"),
        ("stable diffusion 3.5 medium", "SD3.5-medium"),
        ("SD3.5 Large", "SD3.5-large"),
        ("stable-diffusion-3.5-large", "SD3.5-large"),
        ("FLUX", "FLUX.1-dev"),
        ("flux.1 dev", "FLUX.1-dev"),
        ("FLUX.1", "FLUX.1-dev"),
        ("black-forest-labs/FLUX.1-dev", "FLUX.1-dev"),
        ("FLUX.1 [schnell]", "FLUX.1-schnell"),
        ("flux-schnell", "FLUX.1-schnell"),
    ],
)
def test_models_by_name_folder_and_hub_id(written: str, model: str) -> None:
    assert parse(f"Use {written} with DDIM, 20 steps, 2x faster by ToMe.").model == model


def test_the_steps_of_an_unknown_folder_are_assumed() -> None:
    task = parse("Use ./my-model with DDIM")
    assert (task.steps, task.assumptions) == (50, ("steps 50: the usual number for ./my-model",))


def test_parameters_that_are_not_given_are_said_to_be_the_defaults() -> None:
    task = parse(f"{PLAIN}, DeepCache with cache_interval 3 and ToMe")
    assert task.parameters == {"deepcache": {"cache_interval": 3}}
    assert task.assumptions == (
        "DeepCache cache_branch_id: the default",
        "ToMe ratio, max_downsample, sx, sy: the default",
    )


@pytest.mark.parametrize(
    ("words", "speedup", "assumption"),
    [
        ("50% faster", 1.5, "speedup 1.5x or more: the reading of '50% faster'"),
        ("about 2.5x speedup", 2.5, "speedup 2.5x or more: the reading of 'about 2.5x speedup'"),
        ("提速一倍", 2.0, "speedup 2x or more: the reading of '提速一倍'"),
    ],
)
def test_a_reading_that_is_not_literal_is_said(words: str, speedup: float, assumption: str) -> None:
    task = parse(f"{PLAIN}, {words}, ToMe, loss < 2%")
    assert task.target == Target(speedup=speedup)
    assert task.assumptions == (assumption,)


@pytest.mark.parametrize(
    ("sentence", "error", "message"),
    [
        (
            "Generate a SD1.5 pipeline accelerated by DeepCahe with 2x speedup",
            UnknownNameError,
            "Unknown method 'DeepCahe'. Did you mean 'deepcache'? Available: " + f"{', '.join(METHODS.names())}.",
        ),
        (
            "Generate a SD1.5 pipeline accelerated by Frobnicate and ToMe",
            UnknownNameError,
            "Unknown method 'Frobnicate'. Available: " + f"{', '.join(METHODS.names())}.",
        ),
        (
            "Generate a SD1.5 pipeline using the DDMI sampler",
            UnknownNameError,
            f"Unknown scheduler 'DDMI'. Did you mean 'DDIM'? Available: {SCHEDULERS}.",
        ),
        (
            "Generate a SD9 pipeline using the DDIM sampler",
            UnknownNameError,
            f"Unknown model 'SD9'. Did you mean 'SD3'? Available: {MODELS}.",
        ),
        (
            "使用DDIM采样器生成SDXXL流水线",
            UnknownNameError,
            f"Unknown model 'SDXXL'. Did you mean 'SDXL'? Available: {MODELS}.",
        ),
        (
            "使用DDIN采样器生成SD1.5流水线",
            UnknownNameError,
            f"Unknown scheduler 'DDIN'. Did you mean 'DDIM'? Available: {SCHEDULERS}.",
        ),
        ("SD1.5 with 0 steps", InputError, "The number of steps is 0: allowed is a whole number from 1 to 1000."),
        (
            "SD1.5 with 1001 steps",
            InputError,
            "The number of steps is 1001: allowed is a whole number from 1 to 1000.",
        ),
        (
            "SD1.5 with 2.5 steps",
            InputError,
            "The number of steps is 2.5: allowed is a whole number from 1 to 1000.",
        ),
        (
            "SD1.5 with -5 steps",
            InputError,
            "The number of steps is -5: allowed is a whole number from 1 to 1000.",
        ),
        ("SD1.5, speedup -2", InputError, "The speedup is -2: allowed is more than 0, at most 1000."),
        ("SD1.5, 0x faster", InputError, "The speedup is 0: allowed is more than 0, at most 1000."),
        ("SD1.5, speedup NaN", InputError, "The speedup is NaN: allowed is more than 0, at most 1000."),
        ("SD1.5, 1e9x speedup", InputError, "The speedup is 1e9: allowed is more than 0, at most 1000."),
        ("SD1.5加速-3倍", InputError, "The speedup is -3: allowed is more than 0, at most 1000."),
        ("SD1.5 in 0 s", InputError, "The latency is 0 s: allowed is more than 0 s, at most 86400 s."),
        ("SD1.5 2x, loss 1.5", InputError, "The loss limit of clip_score is 1.5: allowed is 0 to 1 (0% to 100%)."),
        (
            "SD1.5 2x, loss < 150%",
            InputError,
            "The loss limit of clip_score is 150%: allowed is 0 to 1 (0% to 100%).",
        ),
        (
            "SD1.5 2x, SSIM loss -0.1",
            InputError,
            "The loss limit of ssim is -0.1: allowed is 0 to 1 (0% to 100%).",
        ),
        ("SD1.5 2x and 3x", RequestError, "The request has 2 speedups: 2x and 3x. Name one."),
        ("SD1.5, 20 steps, 25 steps", RequestError, "The request has 2 numbers of steps: 20 and 25. Name one."),
        ("SD1.5 and SDXL", RequestError, "The request has 2 models: SD1.5 and SDXL. Name one."),
        ("SD1.5 DDIM PNDM", RequestError, "The request has 2 schedulers: DDIM and PNDM. Name one."),
        (
            "SD1.5 2x faster, at most 1.3 s per image",
            RequestError,
            "The request asks for a speedup (2x) and for a latency (1.3 s an image). Ask for one of them.",
        ),
        (
            "SD1.5 with DeepCache without acceleration",
            RequestError,
            "The request asks for no acceleration and for a method. Ask for one of them.",
        ),
        (
            "SD1.5 as fast as possible with DeepCache, cache_interval 3",
            RequestError,
            "The request asks for the highest speedup and for given parameters. Ask for one of them.",
        ),
        (
            "make it 2x faster",
            RequestError,
            f"The request names no model. Available: {MODELS}, or a folder.",
        ),
        (
            "SD1.5 with DeepCache, cache_interval 0",
            ParameterError,
            "DeepCache's cache_interval is 0: allowed is an integer, 1 to 50.",
        ),
        (
            "SD1.5, 50 steps, T-GATE with gate_step " + "9" * 400,
            ParameterError,
            "T-GATE's gate_step is inf: allowed is an integer, 1 to 50.",
        ),
        (
            "SD1.5, 50 steps, T-GATE with gate_step 60",
            ParameterError,
            "T-GATE's gate_step is 60: allowed is an integer, 1 to 50.",
        ),
        (
            "SD1.5 with ToMe, cache_interval 3",
            RequestError,
            "cache_interval is a parameter of DeepCache or TaylorSeer, which the request does not name.",
        ),
        (
            "SD1.5 with DeepCache, cache_interval 3 and cache_interval 4",
            RequestError,
            "The request gives cache_interval twice: 3 and 4. Name one.",
        ),
        (
            "SD1.5 with DeepCache, cache_intervl 3",
            ParameterError,
            "No method has a parameter 'cache_intervl'. Did you mean 'cache_interval'? "
            + "; ".join(f"{m.title} has {', '.join(p.name for p in m.parameters())}" for m in METHODS.all())
            + ".",
        ),
        (
            "SD1.5 2,5x faster",
            RequestError,
            "I could not place '2,5x' in the request. Write numbers with a decimal point, as in 2.5.",
        ),
    ],
)
def test_what_people_are_told(sentence: str, error: type[InputError], message: str) -> None:
    with pytest.raises(InputError) as told:
        parse(sentence)
    said, _, request = str(told.value).rpartition(" This is a request: ")
    assert (said.partition(" Understood: ")[0], type(told.value)) == (message, error)
    assert parse(request.strip("'.")).model


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Generate a banana SD1.5 pipeline with a cherry on top", ("banana", "cherry", "top")),
        ("SD1.5, at most 3x speedup", ("at most 3x speedup",)),
        ("SD1.5, up to 3x speedup", ("up to 3x speedup",)),
        ("SD1.5 2x, more than 2% loss", ("more than",)),
        ("SD1.5 2x, loss at least 0.02", ("loss at least 0.02",)),
        ("SD1.5 but not DDIM", ("but not",)),
        ("SD1.5 2x low loss", ("low loss",)),
        ("SDXL Turbo, 2x", ("Turbo",)),
        ("SD2.1-base, 2x", ("base",)),
        ("SD1.5, T-GATE starting at step 10", ("step 10",)),
        ("SD1.5 accelerated by 3 methods", ("3",)),
        ("SD1.5, reduce latency by 1.3 s", ("latency",)),
        ("SD1.5 2x, slower", ("slower",)),
        ("SD1.5 2x, take ToMe out", ("out",)),
        ("SD1.5 2x, ssim=0.1", ("ssim", "0.1")),
        ("SD1.5 2x, not only DeepCache", ("not",)),
        ("SD1.5, improve the quality by 50%", ("quality", "50%")),
        ("SD1.5 in at least 1.3 s", ("at least",)),
        ("SD1.5 with at most 50 steps", ("at most",)),
        ("SD1.5 2-3x", ("2-3x",)),
        ("SD1.5 加速3倍，损失不低于0.02", ("损失不低于0.02",)),
        ("SD1.5加速不超过3倍", ("加速不超过3倍",)),
        ("用香蕉把SD1.5加速3倍", ("香蕉",)),
        ("SD1.5 🍓", ("🍓",)),
    ],
)
def test_words_without_a_place_are_named(sentence: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as told:
        parse(sentence)
    assert told.value.words == words
    assert all(repr(word) in str(told.value) for word in words)


@pytest.mark.parametrize("empty", ["", "  \n", "\t"])
def test_an_empty_request_is_refused(empty: str) -> None:
    with pytest.raises(RequestError, match=r"^The request is empty\. Example: 'Generate a SD1\.5 pipeline"):
        parse(empty)


def test_an_endless_request_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^The request has 5001 characters: allowed are 5000\."):
        parse("x" * 5001)


def test_the_example_in_messages_is_itself_a_request() -> None:
    with pytest.raises(RequestError) as told:
        parse("")
    assert parse(str(told.value).split("'")[1]).target is not None


def test_parsing_imports_no_torch() -> None:
    code = (
        f"import sys; from hasten.language.parse import parse; parse({SENTENCES[4]['text']!r}); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
