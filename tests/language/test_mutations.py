"""Damaged requests: whatever is written, the answer is a task or one of hasten's own errors."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from hasten.errors import HastenError
from hasten.language.parse import parse
from hasten.task import Task

SENTENCES = [s["text"] for s in json.loads(Path(__file__).with_name("sentences.json").read_text(encoding="utf-8"))]
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


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_mutations_raise_only_our_own_errors(seed: int) -> None:
    rng, outcomes = random.Random(seed), Counter()
    for _ in range(1000):
        text = rng.choice(SENTENCES)
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
    assert outcomes["task"] > 50
    assert outcomes["RequestError"] > 50
    assert {"UnknownNameError", "InputError"} <= set(outcomes)


@pytest.mark.parametrize("character", [*" ,-(x0'\"一倍%\n", "speed up ", "loss of ", "at most ", "a/"])
def test_long_runs_are_read_in_good_time(character: str) -> None:
    """Backtracking that grows faster than the text would hang here."""
    text = "SD1.5 " + (character * 5000)[:4900]
    try:
        parse(text)
    except HastenError as error:
        assert str(error)
