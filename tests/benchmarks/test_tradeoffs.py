"""The table of what fewer steps and the methods lose, on small real pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.tradeoffs import against, plans, rows, said
from benchmarks.tradeoffs_report import Loss, apart, in_equal_work, losses, merged, steps_run
from tests.support.marks import rarely

from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import load
from hasten.measure.quality import Quality
from hasten.measure.setting import setting_of
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_pixart, tiny_sd


def quality_of(pipe: Any, folder: Path) -> Quality:
    words = folder / "words.txt"
    words.write_text("red dog\nblue cat\ngreen owl\nred bus\n")
    setting = setting_of(pipe, steps=8, height=64, width=64)

    def none() -> Any:
        raise AssertionError("ssim needs no scorer")

    return Quality(Pipeline(pipe, setting, load(words)), none)


@pytest.mark.parametrize(
    ("build", "left_out"), [pytest.param(tiny_sd, "magcache", marks=rarely()), (tiny_pixart, "deepcache")]
)
def test_every_plan_has_its_loss_or_why_there_is_none(
    build: Callable[[], Any], left_out: str, tmp_path: Path
) -> None:
    found = dict(rows(quality_of(build(), tmp_path), plans(8), 2, ["ssim"]))
    assert list(found) == list(plans(8))
    lost = {text: losses["ssim"].loss for text, losses in found.items() if not isinstance(losses, str)}
    assert all(isinstance(found[text], str) == text.startswith(left_out) for text in found if left_out in text)
    assert lost["fewer_steps(reduced_steps=4)"] > lost["fewer_steps(reduced_steps=6)"] > 0
    assert said(found["fewer_steps(reduced_steps=6)"]).count(" to ") == 1


def test_a_plan_is_told_against_fewer_steps_pair_by_pair(tmp_path: Path) -> None:
    quality = quality_of(tiny_sd(), tmp_path)
    four, six = (f"fewer_steps(reduced_steps={steps})" for steps in (4, 6))
    found = dict(rows(quality, [four, six], 2, ["ssim"]))
    plain = quality.losses(Plan(), split="held-out", samples=2, metrics=["ssim"], steps=4)
    assert against(found[four], plain) == " | +0.0000 (+0.0000 to +0.0000)"
    assert against(found[six], plain).startswith(" | -0.")
    assert against("left out", plain) == ""


@pytest.mark.parametrize("base", [20, 25, 50])
def test_every_row_is_a_plan_and_each_method_has_three_strengths(base: int) -> None:
    made = [Plan.parse(text) for text in plans(base)]
    methods = [plan.methods[0] for plan in made]
    assert len({str(plan) for plan in made}) == len(made)
    assert {methods.count(name) for name in set(methods) - {"fewer_steps"}} == {3}
    assert all(
        plan.parameters["fewer_steps"]["reduced_steps"] < base for plan in made if plan.methods == ("fewer_steps",)
    )


PRINTED = """
DDIM, 25 steps, guidance 2.0, 64 prompts
plan | clip_score | ssim
fewer_steps(reduced_steps=15) | +0.0034 (+0.0003 to +0.0071) | +0.0140 (+0.0102 to +0.0188)
fewer_steps(reduced_steps=4) | +0.0778 (+0.0490 to +0.1097) | +0.1617 (+0.1428 to +0.1817)
taylorseer(cache_interval=2,max_order=1) | -0.0000 (-0.0004 to +0.0035) | +0.0086 (+0.0053 to +0.0101)
tgate(gate_step=19) | +0.0200 (+0.0058 to +0.0499) | +0.1233 (+0.1039 to +0.1437)
deepcache(cache_branch_id=0,cache_interval=2) | left out: DeepCache cannot be used here.

DDIM, 50 steps, guidance 2.0, 64 prompts
plan | clip_score | ssim
fewer_steps(reduced_steps=15) | +0.0056 (+0.0012 to +0.0111) | +0.0287 (+0.0214 to +0.0376)
tgate(gate_step=38) | +0.0190 (+0.0045 to +0.0453) | +0.0712 (+0.0582 to +0.0859)
"""


def test_what_was_printed_becomes_a_table_of_baselines_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "printed.txt").write_text(PRINTED)
    found = merged([tmp_path / "printed.txt"])
    assert list(losses(found)) == [
        "| | DDIM 50 | DDIM 25 |",
        "| --- | --- | --- |",
        "| 15 steps | 0.0056 / 0.0287 | 0.0034 / 0.0140 |",
        "| 4 steps |  | **0.0778** / 0.1617 |",
        "| T-GATE at 3/4 | 0.0190 / 0.0712 | **0.0200** / 0.1233 |",
        "| TaylorSeer 2 |  | 0.0000 / 0.0086 |",
    ]
    assert list(in_equal_work(found))[2:] == [
        "| DDIM 25 | TaylorSeer 2 | 14 | 0.0086 (0.0053 to 0.0101) "
        "| 15 | 0.0140 (0.0102 to 0.0188) | the plan is better |"
    ]


def test_intervals_that_meet_decide_nothing() -> None:
    assert apart(Loss(0.01, 0.005, 0.015), Loss(0.02, 0.015, 0.03)) == ""
    assert apart(Loss(0.03, 0.021, 0.04), Loss(0.01, 0.005, 0.02)) == "fewer steps are better"


def test_taylorseer_runs_its_first_steps_and_every_so_many() -> None:
    assert steps_run("taylorseer(cache_interval=2,max_order=1)", 25) == 3 + 11
