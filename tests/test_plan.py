"""Lists of steps as values of parameters: their canonical text, in plans, in JSON, and what is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hasten.errors import InputError, ParameterError
from hasten.methods import check_plan
from hasten.plan import Plan, Value, step_list, steps_of
from hasten.task import Task


@given(st.sets(st.integers(0, 999), min_size=1, max_size=40))
def test_a_list_holds_the_steps_it_is_made_of(steps: set[int]) -> None:
    value = step_list(steps)
    assert steps_of(value) == tuple(sorted(steps))
    assert step_list(steps_of(value)) == value
    plan = Plan.of({"schedule": {"full_steps": value}})
    assert Plan.parse(str(plan)) == plan


@pytest.mark.parametrize(
    ("steps", "value"),
    [((0, 1, 2, 3, 5, 9), "0-3:5:9"), ((7, 0), "0:7"), ((0, 1), "0-1"), ((0,), 0), ((12,), 12)],
)
def test_the_text_of_a_list(steps: tuple[int, ...], value: Value) -> None:
    assert step_list(steps) == value


@pytest.mark.parametrize("value", ["", "0-", "0::3", "a", "0,1", "5-3", "-1", "0-12345", 0.0, -1, True, "0.5"])
def test_what_is_no_list(value: Value) -> None:
    with pytest.raises(ValueError):
        steps_of(value)


def test_plans_with_lists() -> None:
    text = "schedule(branch_id=1,full_steps=0:3-5,guided_steps=0)"
    assert str(Plan.parse(text)) == text
    assert Plan.parse(text).parameters["schedule"] == {"branch_id": 1, "full_steps": "0:3-5", "guided_steps": 0}
    with pytest.raises(InputError, match="'0-': neither a number nor a list of steps"):
        Plan.parse("schedule(full_steps=0-)")


def test_checked_plans_have_canonical_lists_of_the_steps_there_are() -> None:
    plan = check_plan(Plan.of({"schedule": {"full_steps": "3:0:1:2:8-40", "guided_steps": "0"}}), steps=10)
    assert (
        str(plan)
        == "schedule(attention_interval=1,branch_id=0,full_steps=0-3:8-9,guided_steps=0,reuse_guidance=1)"
    )
    assert Plan.parse(str(plan)) == plan
    assert str(check_plan(Plan.parse("schedule"), steps=10)) == (
        "schedule(attention_interval=1,branch_id=0,full_steps=0-9,guided_steps=0-9,reuse_guidance=1)"
    )


@pytest.mark.parametrize("value", ["1:2", 3, "0:5-3", 0.5, "x", True])
def test_a_list_without_the_first_step_or_none_at_all_is_an_error(value: Value) -> None:
    with pytest.raises(ParameterError, match=r"Step schedule's full_steps is .* list of steps with 0 in it"):
        check_plan(Plan.of({"schedule": {"full_steps": value}}), steps=10)


def test_a_number_takes_no_list() -> None:
    with pytest.raises(ParameterError, match="DeepCache's cache_interval is '0-3': allowed is an integer"):
        check_plan(Plan.of({"deepcache": {"cache_interval": "0-3"}}))


def test_tasks_keep_lists() -> None:
    given = {"schedule": {"full_steps": "0-3:8", "guided_steps": 0}}
    task = Task(model="SD1.5", scheduler="DDIM", steps=10, methods=("schedule",), parameters=given)
    assert Task.from_json(task.to_json()) == task
    assert task.parameters == given


HOSTILE = [
    "a" + " " * 60_000 + "!",
    "a" + "\t " * 30_000 + "!",
    "a(b=1" + " " * 60_000 + "x)",
    "a" * 60_000 + "!",
    "a(b=" + "9" * 60_000 + ")",
    "a(" * 30_000,
    "a+" * 30_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_length_of_a_text_bounds_its_time(text: str) -> None:
    """Milliseconds; a minute and more where the time grows with the square of the length."""
    began = time.monotonic()
    with pytest.raises(InputError) as raised:
        Plan.parse(text)
    assert time.monotonic() - began < 20 and len(str(raised.value)) < 3000


def test_overlapping_runs_are_counted_once() -> None:
    began = time.monotonic()
    assert steps_of(":".join(["0-9999"] * 20_000)) == tuple(range(10_000))
    assert steps_of("7-9:0-3:2-5:4:8") == (0, 1, 2, 3, 4, 5, 7, 8, 9)
    assert time.monotonic() - began < 20
