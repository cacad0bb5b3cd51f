"""Requests made from bounds and from stored plans: they read back, differ, and stay on their side of the bound."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.random_tasks import random_task

from hasten.errors import InputError
from hasten.language.parse import parse
from hasten.script.write import script_name
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.keys import Key
from hasten.store.seeds.search_params import SearchParams
from hasten.store.seeds.tasks_file import read_requests, write_requests
from hasten.task import Task
from hasten.workflow.tasks import DIFFICULTY, targets, tasks_from_bounds, tasks_from_params

DEEPCACHE = "('StableDiffusionPipeline', 'DDIMScheduler', '50', 'upbound_speedup', 0.02, ['deepcache'])"
SAME = "('SD1.5', 'DDIM', '50', 'upbound_speedup', 0.02, ['deepcache'])"
TOME = "('emoji-sd', 'UniPC', '25', 'upbound_speedup', 0.02, ['tome'])"
BOTH = "('emoji-sd', 'UniPC', '25', 'upbound_speedup', 0.02, ['tome', 'deepcache'])"


def bounds_of(folder: Path, entries: dict[str, Any]) -> Bounds:
    file = folder / "speedup_bounds.json"
    file.write_text(json.dumps(entries), encoding="utf-8")
    return Bounds.read(file)


def params_of(folder: Path, entries: dict[str, Any]) -> SearchParams:
    file = folder / "search_params.json"
    file.write_text(json.dumps(entries), encoding="utf-8")
    return SearchParams.read(file)


def test_the_original_ratios_of_a_bound(tmp_path: Path) -> None:
    made = tasks_from_bounds(bounds_of(tmp_path, {DEEPCACHE: {"max_speedup": 5.5}})).made
    assert [m.request for m in made] == [
        "Generate a SD1.5 pipeline using the DDIM sampler with 50 steps, accelerated by DeepCache with "
        f"{speedup}x speedup and precision loss not exceeding 0.02"
        for speedup in ("4.6", "5.05", "5.27")
    ]
    assert [(m.label, m.ratio, m.bound) for m in made] == [
        ("0.8", 0.8, 5.5),
        ("0.9", 0.9, 5.5),
        ("0.95", 0.95, 5.5),
    ]
    assert [parse(m.request) for m in made] == [m.task for m in made]


def test_a_difficulty_triple_lies_around_the_bound(tmp_path: Path) -> None:
    bounds = bounds_of(tmp_path, {TOME: {"max_speedup": 1.3, "complete": True}})
    made = tasks_from_bounds(bounds, DIFFICULTY, language="zh").made
    assert [(m.label, m.task.target.speedup) for m in made if m.task.target] == [
        ("easy", 1.21),
        ("medium", 1.27),
        ("hard", 1.33),
    ]
    assert made[2].request == "使用UniPC采样器、25步生成emoji-sd流水线，用ToMe加速1.33倍，精度损失不超过0.02"
    assert [parse(m.request) for m in made] == [m.task for m in made]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"complete": False}, "a budget ended its search"),
        ({}, "the file does not say that its search was complete"),
    ],
)
def test_nothing_is_put_out_of_reach_by_a_bound_that_does_not_prove_it(
    tmp_path: Path, known: dict[str, Any], why: str
) -> None:
    found = tasks_from_bounds(bounds_of(tmp_path, {TOME: {"max_speedup": 1.3, **known}}), DIFFICULTY)
    assert [m.label for m in found.made] == ["easy", "medium"]
    (left,) = found.left_out
    assert (left.entry, left.reason) == (
        TOME,
        f"hard, 1.33x, is to be out of reach, which its bound does not prove: {why}.",
    )
    assert len(tasks_from_bounds(bounds_of(tmp_path, {TOME: {"max_speedup": 1.3, **known}}), (1.0, 1.2)).made) == 1


def test_an_entry_tells_the_task_its_id_and_what_is_known_of_the_bound(tmp_path: Path) -> None:
    plan = "deepcache(cache_branch_id=0,cache_interval=4)"
    known = {"max_speedup": 3.0, "interval": [2.9, 3.1], "complete": True, "plan": plan}
    (made,) = tasks_from_bounds(bounds_of(tmp_path, {DEEPCACHE: known}), (0.8,)).made
    told = made.to_json()
    assert made.task == parse(told["request"]) == Task.from_json(told["task"])
    assert told == {
        "id": Path(script_name(made.task)).stem,
        "request": made.request,
        "task": made.task.to_json(),
        "label": "0.8",
        "bound": 3.0,
        "bound_interval": [2.9, 3.1],
        "bound_complete": True,
        "reference_plan": plan,
        "ratio": 0.8,
    }
    (read,) = read_requests(write_requests(tmp_path / "tasks.json", [told]))
    assert (read.text, read.task, read.labels["id"]) == (made.request, made.task, told["id"])
    assert len({m.to_json()["id"] for m in tasks_from_bounds(bounds_of(tmp_path, {DEEPCACHE: known})).made}) == 3


def test_a_bound_at_or_below_one_makes_no_request(tmp_path: Path) -> None:
    found = tasks_from_bounds(bounds_of(tmp_path, {DEEPCACHE: {"max_speedup": 1.0}, TOME: {"max_speedup": 0.9}}))
    assert not found.made and len(found.left_out) == 2
    assert (
        "Its bound is 0.9x, the highest ratio 0.95: allowed are speedups of more than 1"
        in found.left_out[1].reason
    )


def test_what_nothing_was_feasible_for_is_left_out_with_its_reason(tmp_path: Path) -> None:
    found = tasks_from_bounds(
        bounds_of(
            tmp_path,
            {
                DEEPCACHE: {"max_speedup": None, "status": "failed", "reason": "out of memory"},
                TOME: {"max_speedup": None, "status": "infeasible", "reason": "the best lost 0.05"},
                BOTH: {"max_speedup": 2.0},
                TOME.replace("UniPC", "Magic"): {"max_speedup": 2.0},
                TOME.replace("0.02", "0.03"): {"max_speedup": 2000.0},
            },
        )
    )
    assert {m.task.methods for m in found.made} == {("deepcache", "tome")} and len(found.made) == 3
    reasons = {left.entry: left.reason for left in found.left_out}
    assert reasons[DEEPCACHE] == "failed: out of memory"
    assert reasons[TOME] == "infeasible: the best lost 0.05"
    assert "Unknown scheduler 'Magic'" in reasons[TOME.replace("UniPC", "Magic")]
    assert "2000x" in reasons[TOME.replace("0.02", "0.03")]


@pytest.mark.parametrize(("first", "second"), [(5.0, 6.0), (6.0, 5.0), (None, 6.0), (6.0, 6.0)])
def test_of_two_spellings_of_a_search_the_higher_bound_is_taken(
    tmp_path: Path, first: float | None, second: float
) -> None:
    none = {"max_speedup": None, "status": "infeasible", "reason": "too slow"}
    entries = {DEEPCACHE: {"max_speedup": first} if first else none, SAME: {"max_speedup": second}}
    found = tasks_from_bounds(bounds_of(tmp_path, entries))
    assert [m.bound for m in found.made] == [6.0] * 3
    assert [left.entry for left in found.left_out] == [SAME if first == 6.0 else DEEPCACHE]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_of_random_bounds_every_request_reads_back_and_none_is_another(tmp_path: Path, language: str) -> None:
    rng, entries = Random(7), {}
    while len(entries) < 60:
        task = random_task(rng).model_copy(update={"target": None, "parameters": {}})
        if task.mode == "bound":
            entries[str(Key.of(task))] = {"max_speedup": 1 + 10 ** rng.uniform(-3, 2.9)}
    known = bounds_of(tmp_path, entries)
    ratios = (0.1, 0.8, 0.801, 0.95, 1)
    found = tasks_from_bounds(known, ratios, language=language)  # type: ignore[arg-type]
    assert not known.faults and not found.left_out and len(found.made) == len(entries) * len(ratios)
    for made in found.made:
        read = parse(made.request)
        told = tuple(said for said in read.assumptions if not said.startswith("any method: also"))
        assert read.model_copy(update={"assumptions": told}) == made.task
    assert all(m.task.target.speedup <= (known.get(m.task) or 0) for m in found.made if m.task.target)
    assert len({m.request for m in found.made}) == len(found.made)


@given(
    st.floats(1.001, 900),
    st.lists(st.floats(0.001, 1.1), min_size=1, max_size=5, unique_by=lambda ratio: round(ratio, 6)),
    st.integers(0, 4),
)
@example(5.5, [0.8], 2)  # as floats a little more than 4.6
@example(2.0, [0.9, 0.901, 0.9011], 0)
@example(1.004, [0.8, 1.1], 2)
@example(3.0, [1.0], 2)
def test_rounding_goes_down_and_keeps_speedups_apart(bound: float, ratios: list[float], digits: int) -> None:
    found = targets(bound, ratios, digits)
    shares = [1 + (Decimal(repr(bound)) - 1) * Decimal(repr(ratio)) for ratio in ratios]
    assert len(set(found)) == len(found) == len(ratios)
    for speedup, ratio, share in zip(found, ratios, shares, strict=True):
        assert 1 < speedup <= float(share)
        assert (speedup > bound) == (ratio > 1)


def test_no_more_digits_than_are_needed() -> None:
    assert targets(5.5, (0.8, 0.9, 0.95)) == [4.6, 5.05, 5.27]
    assert targets(5.5, (0.8, 0.9), digits=0) == [4.0, 5.0]
    assert targets(5.5, (0.9,), digits=0) == [5.0]
    assert targets(2.001, (0.9, 0.903)) == [1.9, 1.903]
    assert targets(1.006, (0.8, 1.1)) == [1.0048, 1.0066]


@pytest.mark.parametrize(
    ("ratios", "digits", "message"),
    [
        ((), 2, "The ratios are none: give one or more numbers above 0, such as 0.8,0.9,0.95."),
        ((0.8, 0.0), 2, "The ratios are 0.8, 0.0: give one or more numbers above 0, such as 0.8,0.9,0.95."),
        ((float("nan"),), 2, "The ratios are nan: give one or more numbers above 0, such as 0.8,0.9,0.95."),
        ((0.8, 0.8), 2, "The ratios are 0.8, 0.8: name each once, or two requests would be the same."),
        ((0.8,), -1, "The digits are -1: allowed is 0 to 17."),
    ],
)
def test_ratios_that_cannot_be_used_are_no_fault_of_a_bound(
    tmp_path: Path, ratios: tuple[float, ...], digits: int, message: str
) -> None:
    known = bounds_of(tmp_path, {DEEPCACHE: {"max_speedup": 5.5}})
    with pytest.raises(InputError) as told:
        tasks_from_bounds(known, ratios, digits=digits)
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("bound", "ratios", "part"),
    [
        (950.0, (1.1,), "Its bound is 950x, the highest ratio 1.1: allowed are speedups of more than 1"),
        (float("inf"), (0.8,), "Its bound is infx"),
        (1.0, (0.8,), "Its bound is 1x"),
        (
            1.5,
            (0.9, 0.9000000000000001),
            "17 digits do not tell the ratios 0.9, 0.9000000000000001 of 1.5x apart.",
        ),
    ],
)
def test_bounds_that_make_no_request(bound: float, ratios: tuple[float, ...], part: str) -> None:
    with pytest.raises(InputError, match=f"^{part}"):
        targets(bound, ratios)


PLAN = {"cache_interval": 3, "cache_branch_id": 0, "speedup": 4.12, "score_loss": 0.011, "time": 1.9}
ASKED, MEASURED = DEEPCACHE.replace("'upbound_speedup'", "4.0"), DEEPCACHE.replace("'upbound_speedup'", "4.12")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_request_of_a_stored_plan_has_an_answer(tmp_path: Path, language: str) -> None:
    shorter = "('SDXL', 'UniPCMultistepScheduler', '20', 2.5, 0.02)"
    params = params_of(
        tmp_path,
        {
            ASKED: PLAN,
            MEASURED: PLAN,
            DEEPCACHE: PLAN,
            shorter: {**PLAN, "speedup": 2.61, "search_targets": ["deepcache"]},
        },
    )
    found = tasks_from_params(params, language=language)  # type: ignore[arg-type]
    asked = [m.task.target.speedup if m.task.target else None for m in found.made]
    assert asked == [4.0, 4.12, None, 2.5] and not found.left_out and not params.faults
    assert all(m.label == "answered" and m.ratio is None for m in found.made)
    for made in found.made:
        answer = params.find(made.task)
        assert answer is not None and answer.speedup == made.bound >= (
            made.task.target.speedup if made.task.target else 0
        )
        assert parse(made.request) == made.task


def test_a_plan_that_breaks_its_keys_promise_makes_no_request(tmp_path: Path) -> None:
    slow, lossy = ASKED.replace("4.0", "5.0"), ASKED.replace("DDIM", "PNDM")
    twice = ASKED.replace("StableDiffusionPipeline", "SD1.5")
    found = tasks_from_params(
        params_of(tmp_path, {slow: PLAN, lossy: {**PLAN, "score_loss": 0.4}, ASKED: PLAN, twice: PLAN})
    )
    assert [m.task.target.speedup for m in found.made if m.task.target] == [4.0]
    assert {left.entry: left.reason for left in found.left_out} == {
        slow: "Its plan, 4.12x at a loss of 0.011, does not hold what the key promises.",
        lossy: "Its plan, 4.12x at a loss of 0.4, does not hold what the key promises.",
        twice: f"{ASKED} makes the same request.",
    }


def test_a_faster_plan_answers_for_one_that_is_too_slow(tmp_path: Path) -> None:
    fast = ASKED.replace("4.0", "6.0")
    found = tasks_from_params(
        params_of(tmp_path, {ASKED: {**PLAN, "speedup": 3.9}, fast: {**PLAN, "speedup": 6.2}})
    )
    assert [m.bound for m in found.made] == [6.2, 6.2] and not found.left_out


def test_another_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed is 'en' or 'zh'"):
        tasks_from_bounds(bounds_of(tmp_path, {DEEPCACHE: 5.5}), language="fr")  # type: ignore[arg-type]
