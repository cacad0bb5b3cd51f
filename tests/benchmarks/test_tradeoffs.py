"""The table of what fewer steps and the methods lose, on small real pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.tradeoffs import plans, rows, said

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


@pytest.mark.parametrize(("build", "left_out"), [(tiny_sd, "magcache"), (tiny_pixart, "deepcache")])
def test_every_plan_has_its_loss_or_why_there_is_none(
    build: Callable[[], Any], left_out: str, tmp_path: Path
) -> None:
    found = dict(rows(quality_of(build(), tmp_path), 8, 2, ["ssim"]))
    assert list(found) == list(plans(8))
    lost = {text: losses["ssim"].loss for text, losses in found.items() if not isinstance(losses, str)}
    assert all(isinstance(found[text], str) == text.startswith(left_out) for text in found if left_out in text)
    assert lost["fewer_steps(reduced_steps=4)"] > lost["fewer_steps(reduced_steps=6)"] > 0
    assert said(found["fewer_steps(reduced_steps=6)"]).count(" to ") == 1


@pytest.mark.parametrize("base", [20, 25, 50])
def test_every_row_is_a_plan_and_each_method_has_three_strengths(base: int) -> None:
    made = [Plan.parse(text) for text in plans(base)]
    methods = [plan.methods[0] for plan in made]
    assert len({str(plan) for plan in made}) == len(made)
    assert {methods.count(name) for name in set(methods) - {"fewer_steps"}} == {3}
    assert all(
        plan.parameters["fewer_steps"]["reduced_steps"] < base for plan in made if plan.methods == ("fewer_steps",)
    )
