"""``hasten compare``: given plans on the same held-out prompts, kept as they are measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hasten import api
from hasten.cli import app
from hasten.errors import InputError
from hasten.measure.bench import Bench
from hasten.measure.failures import PlanError
from hasten.plan import Plan

DEEPCACHE, FEWER = "deepcache(cache_branch_id=0,cache_interval=2)", "fewer_steps(reduced_steps=1)"
SMALL = (
    "--pipe",
    "emoji-sd",
    "--steps",
    "2",
    "--num-samples",
    "8",
    "--pairs",
    "1",
    "--device",
    "cpu",
    "--height",
    "64",
    "--width",
    "64",
)


@pytest.fixture
def command(own_surroundings: None, tmp_path: Path) -> Any:
    storage = f"sqlite:///{tmp_path / 'trials.db'}"

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["compare", *words, *SMALL, "--storage", storage])

    return run


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("measured again")


def test_plans_side_by_side_and_from_the_store_the_next_time(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("deepcache(cache_interval=2)", FEWER, DEEPCACHE, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    one, other = found["plans"]
    assert [p["trial"]["plan"] for p in (one, other)] == [DEEPCACHE, FEWER], "each once, in the given order"
    for plan in (one, other):
        assert plan["trial"]["split"] == "held-out" and plan["trial"]["offset"] == 0
        assert {m: len(loss["scores"]) for m, loss in plan["trial"]["losses"].items()} == {
            "clip_score": 8,
            "ssim": 8,
        }
    assert one["equal_time"]["steps"] in (1, 2) and other["equal_time"] is None
    monkeypatch.setattr(Bench, "trial", never)
    monkeypatch.setattr(Bench, "equal_time", never)
    assert json.loads(command(FEWER, DEEPCACHE, "--json").stdout)["plans"] == [other, one]
    shown = command(DEEPCACHE, FEWER).stdout
    assert "emoji-sd, DDIM, 2 steps, 64×64 pixels" in shown and "its ssim loss" in shown
    assert all(f"{p['trial']['latency']['speedup']:.2f}x (" in shown for p in (one, other))


def test_a_plan_that_fails_stops_no_other(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    latency = Bench.latency

    def failing(bench: Bench, plan: Plan, **given: Any) -> Any:
        if plan.methods == ("deepcache",):
            raise PlanError("it burnt")
        return latency(bench, plan, **given)

    monkeypatch.setattr(Bench, "latency", failing)
    done = command(DEEPCACHE, FEWER)
    assert done.exit_code == 1
    assert f"failed: {DEEPCACHE}: it burnt" in done.stdout and f"\n{FEWER}  " in done.stdout


def test_what_cannot_be_compared_is_told_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "trial", never)
    with pytest.raises(InputError, match="There is no plan to compare"):
        api.compare("Generate an emoji-sd pipeline with DDIM and 2 steps", [])
    with pytest.raises(InputError, match="give the plans beside a plain request"):
        api.compare("Accelerate emoji-sd with DDIM and 2 steps by DeepCache", [DEEPCACHE])
    with pytest.raises(InputError, match="Did you mean 'ssim'"):
        api.compare("Generate an emoji-sd pipeline with DDIM and 2 steps", [DEEPCACHE], metrics=["sim"])
    with pytest.raises(InputError, match="cache_interval is 9"):
        api.compare("Generate an emoji-sd pipeline with DDIM and 2 steps", [FEWER, "deepcache(cache_interval=9)"])
