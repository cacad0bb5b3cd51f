"""The canonical sentence of a task says the task."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.marks import rarely
from tests.support.random_tasks import random_task

from hasten.errors import InputError, ParameterError, UnknownNameError
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.metrics import METRICS
from hasten.task import Target, Task

LANGUAGES = ("en", "zh")
PARTS = [pytest.param(part, marks=rarely(part > 0)) for part in range(10)]
"""A thousand tasks in ten parts, of which ``make test`` takes the first."""
ALSO = "any method: also"
"""The beginning of the assumption that any method includes fewer steps or another solver."""
TOLD = (": the default", "each is tried alone", "methods any but", "lossless: only methods", ALSO)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", PARTS)
def test_a_hundred_tasks_at_random_are_parsed_back(language: str, part: int) -> None:
    rng = random.Random(f"{language}{part}")
    for _ in range(100):
        task = random_task(rng)
        sentence = render(task, language)
        read = parse(sentence)
        assert read.model_copy(update={"assumptions": ()}) == task, sentence
        assert all(any(word in said for word in TOLD) for said in read.assumptions), sentence
        others = [said for said in read.assumptions if not said.startswith(ALSO)]
        assert not others or task.mode == "explicit" or task.chooses, sentence


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1, 1000, exclude_min=True),
    st.floats(0, 86_400, exclude_min=True),
    st.dictionaries(st.sampled_from(METRICS.names()), st.floats(0, 1)),
    st.sampled_from(LANGUAGES),
)
def test_every_figure_is_parsed_back(
    speedup: float, latency_s: float, max_loss: dict[str, float], language: str
) -> None:
    for target in (Target(speedup=speedup), Target(latency_s=latency_s)):
        task = Task(model="SDXL", scheduler="Heun", steps=9, methods=None, target=target, max_loss=max_loss)
        read = parse(render(task, language))
        assert all(said.startswith(ALSO) for said in read.assumptions)
        assert read.model_copy(update={"assumptions": ()}) == task


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("aZ7.-_/\\~'\"`“”「」 \t\n模型é🍓=,(") | st.characters(), min_size=1),
    st.sampled_from(LANGUAGES),
)
def test_a_folder_is_named_exactly_or_refused(name: str, language: str) -> None:
    task = PLAIN.model_copy(update={"model": name})
    try:
        sentence = render(task, language)
    except InputError as refused:
        assert "ename" in str(refused) and repr(name) in str(refused)
    else:
        assert parse(sentence) == task


FULL = Task(
    model="emoji-sd",
    scheduler="DPM-Solver++",
    steps=20,
    methods=("tome", "deepcache"),
    parameters={"deepcache": {"cache_interval": 3, "cache_branch_id": 0}},
    target=Target(speedup=2.5),
    max_loss={"clip_score": 0.02, "ssim": 0.1},
)
PLAIN = Task(model="SD2.1", scheduler="UniPC", steps=25)


@pytest.mark.parametrize(
    ("task", "language", "sentence"),
    [
        (
            FULL,
            "en",
            "Generate an emoji-sd pipeline using the DPM-Solver++ sampler with 20 steps, accelerated by DeepCache "
            "(cache_interval 3, cache_branch_id 0) and ToMe with 2.5x speedup and precision loss not exceeding "
            "0.02 and ssim loss not exceeding 0.1",
        ),
        (
            FULL,
            "zh",
            "使用DPM-Solver++采样器、20步生成emoji-sd流水线，用DeepCache（cache_interval为3、cache_branch_id为0）和ToMe加速2.5倍，"
            "精度损失不超过0.02，ssim损失不超过0.1",
        ),
        (PLAIN, "en", "Generate a SD2.1 pipeline using the UniPC sampler with 25 steps"),
        (PLAIN, "zh", "使用UniPC采样器、25步生成SD2.1流水线"),
    ],
)
def test_canonical_sentences(task: Task, language: str, sentence: str) -> None:
    assert render(task, language) == sentence


def test_either_article_is_understood() -> None:
    sentence = render(FULL)
    assert sentence.startswith("Generate an emoji-sd ")
    assert parse(sentence.replace("Generate an ", "Generate a ", 1)) == parse(sentence)
    assert parse(render(PLAIN).replace("Generate a ", "Generate an ", 1)) == parse(render(PLAIN))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target": Target(speedup=3)},
            "The task asks for 3x with no method. Name methods, or null for any.",
        ),
        (
            {"parameters": {"tome": {"ratio": 0.5}}},
            "The task gives parameters of tome, which is not among its methods. Add it to them.",
        ),
        (
            {"model": "a'b\"c`d/e"},
            "The model 'a\\'b\"c`d/e' has every kind of quotation mark. Rename the folder.",
        ),
        (
            {"model": "./two  spaces"},
            "No sentence names the model './two  spaces': it would be read as './two spaces'. Name a folder "
            "by its path (./name) and with single spaces, or rename it.",
        ),
        (
            {"methods": ("tome",), "parameters": {"tome": {}}},
            "The task gives parameters of tome, but none is in them. Name one, or leave it out.",
        ),
    ],
)
def test_tasks_without_a_sentence_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError) as told:
        render(PLAIN.model_copy(update=changes))
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scheduler": "Magic"}, UnknownNameError),
        ({"methods": ("magic",)}, UnknownNameError),
        ({"max_loss": {"magic": 0.1}}, UnknownNameError),
        ({"methods": ("tome",), "parameters": {"tome": {"ratio": 1.2}}}, ParameterError),
        ({"methods": ("tgate",), "parameters": {"tgate": {"gate_step": 26}}}, ParameterError),
    ],
)
def test_what_no_request_may_say_is_refused(changes: dict, error: type[InputError]) -> None:
    with pytest.raises(error):
        render(PLAIN.model_copy(update=changes))


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match=r"^The language is 'fr': allowed is 'en' or 'zh'\.$"):
        render(PLAIN, "fr")  # type: ignore[arg-type]
