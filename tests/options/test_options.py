"""The table of options: what it takes from Python and from flags, and what is made of it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from hasten.errors import InputError
from hasten.options import OPTIONS, checked, option_names
from hasten.options.table import DTYPES, GROUPS, PREFERENCES, RUNTIMES, STRATEGIES
from hasten.script.claim import Runtime
from hasten.search import Prefer, SearchOptions
from hasten.search.strategies import STRATEGIES as BY_NAME
from hasten.workflow.choices import Choices
from hasten.workflow.place import Place

OWN = {"verified", "spent_s"}
"""What hasten itself tells a search."""
TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"steps": "25"}, {"steps": 25}),
    ({"steps": 25.0}, {"steps": 25}),
    ({"max_time": "60s"}, {"max_time_s": 60.0}),
    ({"max_time_s": "1.5h"}, {"max_time_s": 5400.0}),
    ({"max_time_s": 90}, {"max_time_s": 90.0}),
    ({"latency": "1.3s"}, {"latency_s": 1.3}),
    ({"speedup": "2.5x"}, {"speedup": 2.5}),
    ({"speedup": "upbound_speedup"}, {"speedup": None}),
    ({"methods": "deepcache"}, {"methods": ("deepcache",)}),
    ({"methods": "deepcache, tome"}, {"methods": ("deepcache", "tome")}),
    ({"methods": ["deepcache", "tome"]}, {"methods": ("deepcache", "tome")}),
    ({"methods": "any"}, {"methods": None}),
    ({"methods": "none"}, {"methods": ()}),
    ({"prompts": ["a cat", "a dog"]}, {"prompts": ("a cat", "a dog")}),
    ({"prompts": Path("captions.txt")}, {"prompts": "captions.txt"}),
    ({"max_loss": {"ssim": "0.2"}}, {"max_loss": {"ssim": 0.2}}),
    ({"device": None}, {"device": None}),
    ({"threads": "2"}, {"threads": 2}),
    ({"threads": "auto"}, {"threads": "auto"}),
]


@pytest.mark.parametrize(("given", "expected"), TAKEN, ids=str)
def test_what_is_meant_is_taken(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert checked(given) == expected


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"steps": "many"}, "steps is 'many': it must be a whole number, from 1 to 1000."),
    ({"steps": 2.5}, "steps is 2.5: it must be a whole number, from 1 to 1000."),
    ({"steps": True}, "steps is True: it must be a whole number"),
    ({"steps": 0}, "steps is 0: it must be from 1 to 1000."),
    ({"max_time": "soon"}, "max_time: 'soon' is no time. Write seconds, minutes or hours: 90s, 10m, 2h."),
    ({"max_time_s": 0}, "max_time_s is 0 s: it must be more than 0 seconds."),
    ({"max_time": 5, "max_time_s": 6}, "max_time and max_time_s are the same: give one of them."),
    ({"num_samples": 4}, "num_samples is 4: it must be at least 8."),
    ({"confidence": 2}, "confidence is 2: it must be from 0.5 to 0.999."),
    ({"guidance_scale": "nan"}, "guidance_scale is 'nan': it must be a number, from 0 to 1000."),
    ({"height": 65}, "height is 65: it must be from 8 to 16384, a multiple of 8."),
    ({"speedup": -2}, "speedup is -2: it must be more than 0 and at most 1000."),
    ({"methods": 3}, "methods is 3: give names, such as ['deepcache', 'tome'], or 'deepcache,tome'."),
    ({"methods": []}, "methods is empty: name at least one"),
    ({"prompts": 3}, "prompts is 3: give a list of prompts, a file of them, or a built-in set by its name."),
    ({"max_loss": 2}, "max_loss is 2: it must be a number, from 0 to 1, as in 0.02."),
    ({"max_loss": {"ssim": "x"}}, "the limit of ssim in max_loss is 'x'"),
    ({"threads": 0}, "threads is 0: it must be from 1 to 1024, or auto."),
    ({"threads": "all"}, "threads is 'all': it must be a whole number, from 1 to 1024, or auto."),
    ({"device": ""}, "device is '': it must be text that is not empty."),
    ({"strategy": "gided"}, "Unknown strategy 'gided'. Did you mean 'guided'?"),
    ({"dtype": "fp64"}, "Unknown dtype 'fp64'."),
    ({"runtime": "magic"}, "Unknown runtime 'magic'."),
    ({"verify": "no"}, "verify is 'no': it must be True or False."),
    ({"steps": "9" * 500}, "steps is '999"),
]


@pytest.mark.parametrize(("given", "told"), REFUSED, ids=lambda case: str(case)[:50])
def test_what_cannot_be_is_one_sentence(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as raised:
        checked(given)
    assert told in str(raised.value) and len(str(raised.value)) < 200


def test_an_unknown_keyword_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"There is no option 'max_tim'\. Did you mean 'max_time_s'\?"):
        checked({"max_tim": 3})


def test_the_keywords_of_python_are_those_of_the_table() -> None:
    known = {one.name for one in OPTIONS}
    of_both = {name for kind in (SearchOptions, Place) for name in option_names(kind)}
    assert of_both == {f.name for kind in (SearchOptions, Place) for f in fields(kind)} - OWN
    also = {one.also for one in OPTIONS if one.also and one.name in of_both}
    assert of_both <= known and Choices.__annotations__.keys() == of_both | also


def test_defaults_are_those_of_the_table() -> None:
    defaults = {one.name: one.default for one in OPTIONS}
    for kind in (SearchOptions, Place):
        own = {f.name: f.default for f in fields(kind) if f.name not in OWN}
        assert own == {name: defaults[name] for name in own}


def test_names_that_are_allowed_are_those_that_there_are() -> None:
    assert set(STRATEGIES) == set(BY_NAME) and set(PREFERENCES) == set(get_args(Prefer))
    assert set(RUNTIMES) == set(get_args(Runtime)) and len(DTYPES) == 3


def test_every_option_is_declared_once_in_a_group() -> None:
    names = [one.name for one in OPTIONS]
    flags = [flag for one in OPTIONS for flag in one.flags]
    assert len(set(names)) == len(names) and len(set(flags)) == len(flags)
    assert {one.group for one in OPTIONS} == set(GROUPS)
