"""The canonical sentence of a task says the task."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hasten.errors import InputError, ParameterError
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.methods import METHODS
from hasten.metrics import METRICS
from hasten.models import model_names
from hasten.schedulers import scheduler_names
from hasten.task import Target, Task

CUSTOM_MODELS = ("./my-model", "/data/My Models/x", "org/Name_1.5", "it's/here", "~/sdxl", "./模型", "./SD1.5")


def _value(draw, parameter):
    if parameter.allowed:
        return draw(st.sampled_from(parameter.allowed))
    number = st.integers if parameter.kind is int else st.floats
    return parameter.kind(draw(number(parameter.low, parameter.high)))


def _legal(method: str, given: dict[str, int | float], steps: int) -> bool:
    """Ranges hold alone; what values allow each other, only the method knows."""
    try:
        METHODS.get(method).check(given, steps=steps)
    except ParameterError:
        return False
    return True


@st.composite
def tasks(draw) -> Task:
    steps = draw(st.integers(1, 1000))
    methods = draw(st.none() | st.sets(st.sampled_from(METHODS.names())))
    parameters = {}
    for name in METHODS.names() if methods is None else methods:
        given = [p for p in METHODS.get(name).parameters(steps=steps) if draw(st.booleans())]
        if given:
            parameters[name] = {p.name: _value(draw, p) for p in given}
            assume(_legal(name, parameters[name], steps))
    speedup = st.builds(Target, speedup=st.floats(0, 1000, exclude_min=True))
    latency = st.builds(Target, latency_s=st.floats(0, 86_400, exclude_min=True))
    return Task(
        model=draw(st.sampled_from(model_names() + CUSTOM_MODELS)),
        scheduler=draw(st.sampled_from(scheduler_names())),
        steps=steps,
        methods=methods,
        parameters=parameters,
        target=None if methods == set() else draw(st.none() | speedup | latency),
        max_loss=draw(st.dictionaries(st.sampled_from(METRICS.names()), st.floats(0, 1))),
    )


@settings(max_examples=300, deadline=None)
@given(tasks(), st.sampled_from(["en", "zh"]))
def test_a_rendered_task_is_parsed_back(task: Task, language: str) -> None:
    read = parse(render(task, language))
    assert read.model_copy(update={"assumptions": ()}) == task
    assert all(said.endswith(": the default") for said in read.assumptions)
    assert not read.assumptions or task.mode == "explicit"


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
    ],
)
def test_tasks_without_a_sentence_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError) as told:
        render(PLAIN.model_copy(update=changes))
    assert str(told.value) == message


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match=r"^The language is 'fr': allowed is 'en' or 'zh'\.$"):
        render(PLAIN, "fr")  # type: ignore[arg-type]
