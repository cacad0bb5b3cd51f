"""Sentences as people would write them: templates × values, in both languages, and the task that each means.

Slots: m model, x speedup, p per cent faster, P per cent of the speed, c per cent of the time, S and s seconds, r
images a second, n steps, k scheduler, d and e methods, q loss in per cent, Q what is kept of it, F a score
of SSIM, h and w pixels, g guidance, b batch. Meanings are in ``MEANINGS``; ``!`` is a sentence that is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hasten.errors import InputError
from hasten.language._quality import STRICTEST
from hasten.language.parse import parse
from hasten.models import usual_scheduler, usual_steps
from hasten.task import Target, Task

MODELS = {
    "SDXL": "SDXL",
    "sdxl": "SDXL",
    "SD1.5": "SD1.5",
    "Stable Diffusion 1.5": "SD1.5",
    "SD 2.1": "SD2.1",
    "PixArt-Sigma": "PixArt-sigma",
    "pixart alpha": "PixArt-alpha",
    "FLUX.1-dev": "FLUX.1-dev",
    "SD3.5 large": "SD3.5-large",
    "emoji-sd": "emoji-sd",
    "stabilityai/stable-diffusion-xl-base-1.0": "SDXL",
}
SCHEDULERS = {"DDIM": "DDIM", "UniPC": "UniPC", "Euler a": "Euler-a", "dpm++ 2m karras": "DPM-Solver++-Karras"}
METHODS = {
    "DeepCache": "deepcache",
    "T-GATE": "tgate",
    "tgate": "tgate",
    "ToMe": "tome",
    "token merging": "tome",
    "MagCache": "magcache",
    "TaylorSeer": "taylorseer",
}
FIGURES = {
    "x": ("1.5", "2", "3", "2.25", "1.8"),
    "p": ("50", "30", "120", "12.5"),
    "P": ("150", "200", "130"),
    "c": ("20", "40", "60", "75"),
    "S": ("6", "12.5", "8"),
    "s": ("3", "1.25", "2", "0.5"),
    "r": ("10", "4", "2.5"),
    "n": ("20", "28", "50", "100"),
    "q": ("1", "2", "0.5", "5"),
    "F": ("0.9", "0.85", "0.95"),
    "h": ("512", "768", "1024"),
    "w": ("512", "1344", "640"),
    "g": ("7", "7.5", "3.5"),
    "b": ("2", "4", "16"),
}
Values = dict[str, str]
Change = Callable[[Values], dict[str, Any]]


def _speedup(factor: Callable[[Values], float]) -> Change:
    return lambda v: {"target": {"speedup": round(factor(v), 4)}, "methods": None}


def _named(*slots: str, **more: Any) -> Change:
    return lambda v: {"methods": sorted({METHODS[v[slot]] for slot in slots}), **more}


def _share(slot: str) -> Callable[[Values], float]:
    return lambda v: float(v[slot]) / 100


EXPLICIT = {"methods": ["deepcache"], "parameters": {"deepcache": {"cache_interval": 4, "cache_branch_id": 1}}}
MEANINGS: dict[str, Change] = {
    "x": _speedup(lambda v: float(v["x"])),
    "faster:p": _speedup(lambda v: 1 + float(v["p"]) / 100),
    "of:P": _speedup(_share("P")),
    "less:c": _speedup(lambda v: 1 / (1 - float(v["c"]) / 100)),
    "left:c": _speedup(lambda v: 100 / float(v["c"])),
    "half": _speedup(lambda v: 2.0),
    "third": _speedup(lambda v: 1.5),
    "three": _speedup(lambda v: 3.0),
    "ratio": _speedup(lambda v: float(v["S"]) / float(v["s"])),
    "rate": lambda v: {"target": {"latency_s": 1 / float(v["r"])}, "methods": None},
    "s": lambda v: {"target": {"latency_s": float(v["s"])}, "methods": None},
    "fast": lambda v: {"methods": None},
    "plain": lambda v: {"methods": []},
    "explicit": lambda v: EXPLICIT,
    "d": _named("d"),
    "d+e": _named("d", "e"),
    "d|e": _named("d", "e", one_of=True),
    "-d": lambda v: {"excluded": [METHODS[v["d"]]]},
    "-d-e": lambda v: {"excluded": sorted({METHODS[v["d"]], METHODS[v["e"]]})},
    "n": lambda v: {"steps": int(v["n"])},
    "25": lambda v: {"steps": 25},
    "30": lambda v: {"steps": 30},
    "k": lambda v: {"scheduler": SCHEDULERS[v["k"]]},
    "q": lambda v: {"max_loss": {"clip_score": float(v["q"]) / 100}},
    "ssimloss": lambda v: {"max_loss": {"ssim": float(v["q"]) / 100}},
    "ssim": lambda v: {"max_loss": {"ssim": round(1 - float(v["F"]), 6)}},
    "lossless": lambda v: {"lossless": True, "max_loss": {"clip_score": STRICTEST}},
    "hw": lambda v: {"height": int(v["h"]), "width": int(v["w"])},
    "h": lambda v: {"height": int(v["h"]), "width": int(v["h"])},
    "g": lambda v: {"guidance_scale": float(v["g"])},
    "b": lambda v: {"batch_size": int(v["b"])},
    "cpu": lambda v: {"device": "cpu"},
    "cuda": lambda v: {"device": "cuda"},
    "cuda1": lambda v: {"device": "cuda:1"},
    "fp16": lambda v: {"dtype": "float16"},
    "bf16": lambda v: {"dtype": "bfloat16"},
    "fp32": lambda v: {"dtype": "float32"},
}


def _read(name: str) -> list[tuple[str, list[str]]]:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    parts = [line.partition(" => ") for line in lines if line and not line.startswith("#")]
    return [(template, meaning.split()) for template, _, meaning in parts]


TEMPLATES = _read("templates.txt") + _read("templates_zh.txt")


def _values(rng: Random) -> Values:
    drawn = {slot: rng.choice(values) for slot, values in FIGURES.items()}
    drawn["Q"] = f"{100 - float(drawn['q']):g}"
    first = rng.choice(list(METHODS))
    second = rng.choice([name for name in METHODS if METHODS[name] != METHODS[first]])
    return {**drawn, "m": rng.choice(list(MODELS)), "k": rng.choice(list(SCHEDULERS)), "d": first, "e": second}


def _task(values: Values, meanings: list[str]) -> Task:
    model = MODELS[values["m"]]
    known: dict[str, Any] = {"model": model, "scheduler": usual_scheduler(model), "steps": usual_steps(model)}
    for meaning in meanings:
        known |= MEANINGS[meaning](values)
    return Task.from_json(known)


def test_there_are_two_hundred_templates_in_two_languages() -> None:
    chinese = [template for template, _ in TEMPLATES if any("\u4e00" <= c <= "\u9fff" for c in template)]
    assert len({template for template, _ in TEMPLATES}) >= 250
    assert len(chinese) >= 90


@pytest.mark.parametrize(("template", "meanings"), TEMPLATES, ids=[template for template, _ in TEMPLATES])
def test_a_template_with_any_values_is_its_task(template: str, meanings: list[str]) -> None:
    rng = Random(template)
    for _ in range(5):
        values = _values(rng)
        sentence = template.format(**values)
        if meanings == ["!"]:
            with pytest.raises(InputError, match="This is a request: "):
                parse(sentence)
            continue
        task = parse(sentence)
        if task.target and task.target.speedup:
            target = Target(speedup=round(task.target.speedup, 4))
            task = task.model_copy(update={"target": target})
        assert task.model_copy(update={"assumptions": ()}) == _task(values, meanings), sentence


@pytest.mark.parametrize("seed", range(200))
def test_the_sentence_of_a_refusal_is_a_request(seed: int) -> None:
    """Two templates that contradict each other, a stranger's word, a number out of range."""
    rng = Random(seed)
    first, second = (rng.choice(TEMPLATES)[0].format(**_values(rng)) for _ in range(2))
    stranger = rng.choice(
        ["banana", "up to 3x", "0 steps", "loss 150%", "TeaCache", "1.5-2x", "SD9", "steps 5000", "香蕉"]
    )
    with pytest.raises(InputError) as refused:
        parse(f"{first}, {second}, {stranger}")
    sentence = str(refused.value).rpartition("This is a request: ")[2].removesuffix(".")
    assert parse(ast.literal_eval(sentence)).steps >= 1
