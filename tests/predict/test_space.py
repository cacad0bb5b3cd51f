"""The grids of traversal, and what dominance closes."""

from __future__ import annotations

import pytest

from hasten.errors import UnknownNameError
from hasten.methods import METHODS, check_plan
from hasten.plan import Plan, Value
from hasten.predict.space import Space, grid, spaces
from hasten.testing.pipelines import tiny_pixart, tiny_sd


def plan(**methods: dict[str, float]) -> Plan:
    return check_plan(Plan.of(methods))


@pytest.fixture(scope="module")
def pipe() -> object:
    return tiny_sd()


def test_grids_have_the_original_sizes() -> None:
    assert len(grid(["deepcache"])) == 16
    assert len(grid(["tgate"])) == 15 * 8 * 5 * 3
    ratios = 8  # 0.8 and 0.9 of the original are both the most that can be merged
    downsamples = len(next(p for p in METHODS.get("tome").parameters() if p.name == "max_downsample").grid)
    assert len(grid(["tome"])) == ratios * downsamples
    assert len(Space(["deepcache", "tome"])) == 16 * ratios * downsamples


def test_order_is_mildest_first_and_the_last_parameter_fastest() -> None:
    first, second, *_, last = grid(["deepcache"])
    assert first.parameters["deepcache"] == {"cache_interval": 2, "cache_branch_id": 3}
    assert second.parameters["deepcache"] == {"cache_interval": 2, "cache_branch_id": 2}
    assert last.parameters["deepcache"] == {"cache_interval": 5, "cache_branch_id": 0}


@pytest.mark.parametrize("methods", [["deepcache"], ["tome"], ["deepcache", "tome"], ["schedule"]])
def test_every_plan_is_complete_legal_and_there_once(pipe: object, methods: list[str]) -> None:
    plans = grid(methods, pipe, 25)
    assert plans
    assert len(set(map(str, plans))) == len(plans)
    assert all(str(check_plan(p, pipe, 25)) == str(p) for p in plans)


def test_fixed_parameters_stay(pipe: object) -> None:
    plans = grid(["deepcache"], pipe, 25, {"deepcache": {"cache_interval": 7}})
    assert {p.parameters["deepcache"]["cache_interval"] for p in plans} == {7}
    assert {p.parameters["deepcache"]["cache_branch_id"] for p in plans} == {0, 1, 2, 3}


def test_a_fixed_stride_leaves_out_the_ratios_it_does_not_allow() -> None:
    ratios = {p.parameters["tome"]["ratio"] for p in grid(["tome"], fixed={"tome": {"sx": 1, "sy": 2}})}
    assert ratios == {0.1, 0.2, 0.3, 0.4, 0.5}


def test_plans_that_come_to_the_same_are_merged(pipe: object) -> None:
    plans = grid(["tgate"], pipe, 6)
    work = [repr(METHODS.get("tgate").steps(pipe, p.parameters["tgate"], 6)) for p in plans]
    assert len(set(work)) == len(work)
    assert len(plans) < len(grid(["tgate"], None, 6))


def test_plans_whose_work_is_a_guess_are_not_merged_by_it() -> None:
    assert len(Space(["first_block_cache"], tiny_pixart(), 8)) == len(grid(["first_block_cache"], None, 8))


def test_plans_of_equal_work_that_make_up_for_it_otherwise_are_not_merged(pipe: object) -> None:
    plans = [p.parameters["faster_cache"] for p in grid(["faster_cache"], pipe, 8)]
    work = {repr(METHODS.get("faster_cache").steps(pipe, given, 8)) for given in plans}
    assert {given["alpha_low_frequency"] for given in plans} == {1.1, 1.0}
    assert len(work) == len(plans)


def test_plans_that_change_nothing_are_left_out(pipe: object) -> None:
    assert grid(["deepcache"], pipe, 25, {"deepcache": {"cache_interval": 1}}) == []
    assert grid(["tome"], pipe, 25, {"tome": {"ratio": 0.0}}) == []
    both = grid(["deepcache", "tome"], pipe, 25, {"tome": {"ratio": 0.0}})
    assert len(both) == 16


def test_stronger_plans_close_also_in_larger_spaces() -> None:
    space, larger, other = Space(["deepcache"]), Space(["deepcache", "tome"]), Space(["tome"])
    given = plan(deepcache={"cache_interval": 4, "cache_branch_id": 2})
    for each in (space, larger, other):
        each.close_stronger(given)
    kept = {(p["cache_interval"], p["cache_branch_id"]) for p in (q.parameters["deepcache"] for q in space)}
    assert kept == {(i, b) for i in (2, 3, 4, 5) for b in (3, 2, 1, 0) if not (i >= 4 and b <= 2)}
    assert len(list(larger)) == len(larger) * len(kept) // 16
    assert len(list(other)) == len(other)


def test_milder_plans_close_only_with_the_same_methods() -> None:
    space, single = Space(["deepcache", "tome"]), Space(["deepcache"])
    given = plan(deepcache={"cache_interval": 3, "cache_branch_id": 3}, tome={"ratio": 0.2, "max_downsample": 1})
    space.close_milder(given)
    single.close_milder(given)
    assert len(space) - len(list(space)) == 2 * 1 * 2 * 1
    assert len(list(single)) == 16


def test_reset_opens_again_and_closing_while_iterating_counts() -> None:
    space = Space(["deepcache"])
    seen = []
    for p in space:
        seen.append(p)
        space.close_stronger(p)
    assert len(seen) == 1
    space.reset()
    assert len(list(space)) == 16


def test_subsets_grow_and_hold_what_is_fixed() -> None:
    found = [s.methods for s in spaces(["tome", "deepcache"], None, 25, {}, any_of=True)]
    assert found == [("deepcache",), ("tome",), ("deepcache", "tome")]
    fixed = {"tome": {"ratio": 0.5}}
    found = [s.methods for s in spaces(["tome", "deepcache"], None, 25, fixed, any_of=True)]
    assert found == [("tome",), ("deepcache", "tome")]
    assert [s.methods for s in spaces(["tome", "deepcache"], None, 25, {}, any_of=False)] == [
        ("deepcache", "tome")
    ]


def test_unknown_methods_are_named() -> None:
    with pytest.raises(UnknownNameError, match="deepcache"):
        grid(["deepcash"])


def test_methods_that_clash_are_in_no_subset_together(pipe: object) -> None:
    tried = [m.name for m in METHODS.all() if m.by_default and m.unsupported(pipe) is None]
    found = spaces(tried, pipe, 6, {}, any_of=True)
    subsets = {space.methods for space in found}
    assert ("schedule", "tome") in subsets and ("deepcache", "tgate", "tome") in subsets
    assert not any("schedule" in names and {"deepcache", "tgate"} & set(names) for names in subsets)


def test_lists_of_steps_are_an_axis_like_any_other(pipe: object) -> None:
    space = Space(["schedule"], pipe, 6)
    names = [axis.name for axis in space.axes]
    plan = next(iter(space))
    assert names == ["branch_id", "full_steps", "guided_steps", "reuse_guidance", "attention_interval"]
    assert space.holds(plan) and plan.parameters["schedule"]["full_steps"] == "0-5"
    assert Plan.parse("schedule(branch_id=0,full_steps=0-5,guided_steps=0-5)") not in list(space)
    guided_less = [p for p in space if p.parameters["schedule"]["full_steps"] == "0-5"]
    assert len({p.parameters["schedule"]["branch_id"] for p in guided_less}) == 1, "no branch rests anything there"


def test_reuse_of_guidance_counts_only_where_there_are_steps_without(pipe: object) -> None:
    given = [p.parameters["schedule"] for p in Space(["schedule"], pipe, 6)]
    assert {g["reuse_guidance"] for g in given if g["guided_steps"] == "0-5"} == {1}
    lists = ("branch_id", "full_steps", "guided_steps", "attention_interval")
    kept, ended = (
        {tuple(g[name] for name in lists) for g in given if g["reuse_guidance"] == reuse} for reuse in (1, 0)
    )
    assert ended and ended == {values for values in kept if values[2] != "0-5"}


def test_values_without_order_rule_out_none_of_each_other(pipe: object) -> None:
    space = Space(["schedule"], pipe, 6)
    lists = {"branch_id": 1} | {a.name: a.values[len(a.values) // 2] for a in space.axes[1:3]}
    lists["attention_interval"] = 1
    kept, ended = (Plan.of({"schedule": {**lists, "reuse_guidance": reuse}}) for reuse in (1, 0))
    plans = set(space)
    assert {kept, ended} <= plans
    for given, twin in ((kept, ended), (ended, kept)):
        for close in (Space.close_stronger, Space.close_milder):
            space.reset()
            close(space, given)
            closed = plans - set(space)
            assert given in closed and len(closed) > 1
            assert {p.parameters["schedule"]["reuse_guidance"] for p in closed} == {
                given.parameters["schedule"]["reuse_guidance"]
            }, f"{twin} is among those that {given} rules out"


def test_a_plan_without_the_method_is_milder_than_all_values_without_order(pipe: object) -> None:
    fixed: dict[str, dict[str, Value]] = {"schedule": {"full_steps": "0:2", "guided_steps": 0}}
    larger = Space(["schedule", "tome"], pipe, 6, fixed)
    assert {p.parameters["schedule"]["reuse_guidance"] for p in larger} == {1, 0}
    larger.close_stronger(next(iter(Space(["tome"], pipe, 6))))
    assert not list(larger)
