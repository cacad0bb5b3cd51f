"""The benchmark of step schedules: what it draws, and how it sorts what was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.schedule_report import SPLITS, Point, parts, show

from benchmarks import schedule
from hasten.measure.grids import MeasuredGrid
from hasten.methods import check_plan
from hasten.models import load_pipeline
from hasten.plan import Plan

STEPS = 8
ROWS = tuple(tuple(float(r**2 * (s + 1)) for r in range(STEPS - s)) for s in range(STEPS))
FOUND = MeasuredGrid.model_validate(
    {"setting": "", "environment": {}, "samples": 1, "steps": STEPS, "full_steps": ROWS, "guided_steps": ROWS}
)


def test_every_kind_has_legal_plans_each_once() -> None:
    pipe = load_pipeline("emoji-sd")
    planned = schedule.kinds(FOUND, pipe)
    assert set(planned) == set(schedule.KINDS)
    for name, plans in planned.items():
        assert plans and len(set(plans)) == len(plans), name
        assert all(str(check_plan(Plan.parse(plan), pipe, STEPS)) == plan for plan in plans)
    assert not any("guided_steps=0-7" in plan for plan in planned["dropped"])
    assert any("guided_steps=0-7" in plan for plan in planned["kept"])
    assert all("reuse_guidance=0" in plan for plan in planned["dropped"])
    assert all("reuse_guidance=1" in plan for name in ("kept", "unmeasured") for plan in planned[name])
    plain = (plan for plan in planned["dropped"] if "attention_interval=1," in plan)
    others = {plan.replace("reuse_guidance=0", "reuse_guidance=1") for plan in plain}
    assert others < set(planned["kept"])


def point(plan: str, speedup: float, clip: float, ssim: float = 0.1) -> Point:
    losses = {("clip_score", split): clip for split in SPLITS} | {("ssim", split): ssim for split in SPLITS}
    return Point(plan, speedup, losses)


def test_schedules_are_sorted_by_what_they_reuse() -> None:
    texts = {
        "kept, full only": "schedule(branch_id=0,full_steps=0:3,guided_steps=0-7)",
        "kept, guided only": "schedule(branch_id=0,full_steps=0-7,guided_steps=0)",
        "kept, both": "schedule(branch_id=0,full_steps=0:3,guided_steps=0:3)",
    }
    found = parts([point(text, 2.0, 0.0) for text in texts.values()], STEPS)
    assert {name: [p.plan for p in points] for name, points in found.items()} == {n: [t] for n, t in texts.items()}


def test_the_fastest_inside_a_limit_and_the_nearest_at_a_speedup(capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": [point("mild", 1.5, 0.004, 0.01), point("strong", 3.0, 0.03, 0.2)], "b": []})
    shown = capsys.readouterr().out
    assert "| 0.01 | a | 1.50x | 0.0040 | 0.0040 | 0.0100 | `mild` |" in shown
    assert "| 0.05 | a | 3.00x | 0.0300 | 0.0300 | 0.2000 | `strong` |" in shown
    assert "| 1.25x | a | 1.50x |" in shown and "| 2x | a | 3.00x |" in shown
    assert "| 0.01 | b | – |" in shown


def test_plans_are_beaten_by_what_is_as_fast_and_nearer(capsys: pytest.CaptureFixture[str]) -> None:
    slow, near, fast = point("slow", 1.5, 0, 0.1), point("near", 2.0, 0, 0.1), point("fast", 3.0, 0, 0.3)
    show({"a": [slow, fast], "b": [near]})
    shown = capsys.readouterr().out
    assert "| a | 2 |  | 1 |" in shown and "| b | 1 | 0 |  |" in shown


@pytest.mark.full  # its parts are above
def test_a_run_from_measuring_to_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--setting", "DDIM 3", "--samples", "4", "--samples-of-sensitivity", "1", "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["schedule", *given, "--only", "dropped"])
    schedule.main()
    assert "| 1.25x | dropped | " in capsys.readouterr().out
    assert json.loads((tmp_path / "measured.json").read_text())["sensitivity"]["steps"] == 3
    monkeypatch.setattr("sys.argv", ["schedule", *given, "--only", "unmeasured"])
    schedule.main()
    assert "| 1.25x | unmeasured | " in capsys.readouterr().out
