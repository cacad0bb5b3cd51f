"""Damaged requests: whatever is written, the answer is a task or one of hasten's own errors.

More of them than the suite has time for: ``python -m tests.language.test_mutations 100000``.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.support.marks import rarely

from hasten.errors import HastenError
from hasten.language.parse import parse
from hasten.task import Task

SLOTS = (
    *("SDXL", "2", "50", "150", "40", "6", "3", "10", "25", "DDIM", "DeepCache", "T-GATE"),
    *("2", "98", "0.9", "768", "1344", "7", "4"),
)
SENTENCES = [s["text"] for s in json.loads(Path(__file__).with_name("sentences.json").read_text(encoding="utf-8"))]
TEMPLATES = [
    line.partition(" => ")[0].format_map(dict(zip("mxpPcSsrnkdeqQFhwgb", SLOTS, strict=True)))
    for name in ("templates.txt", "templates_zh.txt")
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
NUMBERS = (
    "0",
    "-1",
    "1e9",
    "1e-9",
    "1e999",
    "nan",
    "-inf",
    "0x10",
    "1_000",
    "1,5",
    "½",
    "٣",
    "³",
    "3.",
    ".5",
    "9" * 400,
)
WORDS = (
    "SD1.5", "sdxl", "DDIM", "Euler a", "tome", "T-Gate", "cache_interval", "gate_step", "ratio",
    "steps", "speedup", "loss", "ssim", "no", "not exceeding", "at least", "x", "%", "ms", "s",
    "per image", "any method", "without", "倍", "步", "加速", "损失", "不超过", "百分之", "十百", "点",
    "or", "but not", "except", "lossless", "without", "half", "from", "to", "1024x768", "batch size", "cfg",
    "in fp16", "on cuda", "at most", "in half", "一半", "减半", "不要用", "或", "无损", "每秒", "从",
    "两", "./", "a/b", "'", '"', "(", ")", "=", "<", "",
)  # fmt: skip
CHARACTERS = "aZ0９.,-−+/\\'\"`“」%×x倍步 \t\n\0\x1b\u200b\u202e\ufeffÀßſKİıμ½٣⅓🍓\ud800中"


def _mutated(text: str, rng: random.Random) -> str:
    by_character = rng.random() < 0.5
    parts = list(text) if by_character else text.split(" ")
    at = rng.randrange(len(parts)) if parts else 0
    other = rng.choice(CHARACTERS) if by_character else rng.choice(WORDS + NUMBERS)
    change = rng.choice(("delete", "insert", "replace", "swap", "repeat"))
    if change == "delete" and parts:
        del parts[at]
    elif change == "replace" and parts:
        parts[at] = other
    elif change == "swap" and parts:
        with_ = rng.randrange(len(parts))
        parts[at], parts[with_] = parts[with_], parts[at]
    elif change == "repeat" and parts:
        parts[at : at + 1] = [parts[at]] * 3
    else:
        parts.insert(at, other)
    return ("" if by_character else " ").join(parts)


def _outcomes(seed: int, count: int) -> Counter[str]:
    """What becomes of so many damaged sentences; any error but hasten's own is raised."""
    rng, outcomes = random.Random(seed), Counter[str]()
    for _ in range(count):
        text = rng.choice(rng.choice((SENTENCES, TEMPLATES)))
        for _ in range(rng.randint(1, 6)):
            text = _mutated(text, rng)
        try:
            task = parse(text)
        except HastenError as error:
            assert str(error)
            outcomes[type(error).__name__] += 1
        else:
            assert Task.from_json(task.to_json()) == task
            outcomes["task"] += 1
    return outcomes


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 300), *(pytest.param(s, 1000, marks=rarely()) for s in (1, 2, 3))]
)
def test_mutations_raise_only_our_own_errors(seed: int, count: int) -> None:
    outcomes = _outcomes(seed, count)
    assert outcomes["task"] > count / 20
    assert outcomes["RequestError"] > count / 20
    assert {"UnknownNameError", "ParameterError"} <= set(outcomes)


RUNS = ("speed up ", "loss of ", "at most ", "a/", "x 9", "by 9% ", "不用", "deepcache or ", "SDXL ", "my ")


@pytest.mark.parametrize("character", [*" ,-(x0'\"一倍%\n", *RUNS])
def test_long_runs_are_read_in_good_time(character: str) -> None:
    """Backtracking that grows faster than the text would hang here."""
    text = "SD1.5 " + (character * 5000)[:4900]
    try:
        parse(text)
    except HastenError as error:
        assert str(error)


if __name__ == "__main__":
    total = Counter[str]()
    for block in range(int(sys.argv[1]) // 1000):
        total += _outcomes(1000 + block, 1000)
    print(f"{total.total()} mutations: {dict(total)}")
