"""The JSON form of a task: what is not said is not written, so that old files and new ones are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hasten.errors import InputError
from hasten.task import CHOICE, OWN_SETTING, Task

OLD: dict[str, Any] = {
    "model": "SD1.5",
    "scheduler": "DDIM",
    "steps": 50,
    "methods": ["deepcache"],
    "parameters": {},
    "target": {"speedup": 2.5},
    "max_loss": {"clip_score": 0.02},
    "assumptions": [],
}
FULL = {
    "height": 768,
    "width": 1344,
    "guidance_scale": 0.0,
    "batch_size": 4,
    "device": "cuda",
    "dtype": "float16",
}


def test_a_task_that_says_nothing_new_is_written_as_before() -> None:
    task = Task.from_json(OLD)
    assert task.to_json() == OLD
    assert not {*OWN_SETTING, *CHOICE} & json.loads(task.model_dump_json()).keys()
    assert task.own_setting == {} and not task.chooses


@pytest.mark.parametrize("name", FULL)
def test_each_part_of_the_setting_is_carried(name: str) -> None:
    task = Task.from_json({**OLD, name: FULL[name]})
    assert task.own_setting == {name: FULL[name]}
    assert task.to_json() == {**OLD, name: FULL[name]}
    assert Task.from_json(task.model_dump_json()) == task


@pytest.mark.parametrize(
    "said",
    [
        {"methods": None, "excluded": ["tgate", "tome"]},
        {"methods": None, "lossless": True},
        {"methods": ["deepcache", "tgate"], "one_of": True},
    ],
)
def test_the_choice_of_methods_is_carried(said: dict[str, Any]) -> None:
    task = Task.from_json({**OLD, **said})
    assert task.chooses and task.to_json() == {**OLD, **said}
    assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"excluded": ["tome"]}, "excluded and lossless narrow any method"),
        ({"lossless": True}, "excluded and lossless narrow any method"),
        ({"one_of": True}, "one_of needs two methods"),
        ({"height": 0}, "height"),
        ({"batch_size": 0}, "batch_size"),
        ({"guidance_scale": -1}, "guidance_scale"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"dtype": "int4"}, "dtype"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        Task.from_json({**OLD, **said})


@pytest.mark.parametrize(
    ("said", "methods", "allowed"),
    [
        ({}, ["deepcache"], True),
        ({}, ["deepcache", "tome"], False),
        ({"methods": None}, ["tome"], True),
        ({"methods": None, "excluded": ["tome"]}, ["tome", "deepcache"], False),
        ({"methods": None, "excluded": ["tome"]}, ["deepcache"], True),
        ({"methods": None, "lossless": True}, ["deepcache"], False),
        ({"methods": ["deepcache", "tgate"], "one_of": True}, ["tgate"], True),
        ({"methods": ["deepcache", "tgate"], "one_of": True}, ["tgate", "deepcache"], False),
    ],
)
def test_which_plans_a_task_leaves_open(said: dict[str, Any], methods: list[str], allowed: bool) -> None:
    assert Task.from_json({**OLD, **said}).allows(methods) is allowed
