"""Claims that are too high are corrected by what a fresh process measures, where that still answers them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.script.test_verify import PLAN, claimed, model, written
from tests.support.examples import trial_of
from tests.support.landscape import latency

from hasten.answer import Answer
from hasten.errors import MeasurementError
from hasten.measure.timing import LONGEST_S
from hasten.models.base import Model
from hasten.script.claim import read_claim
from hasten.search import SearchOptions
from hasten.search.budget import FRESH_PROCESS_S
from hasten.task import Target
from hasten.workflow import verifying
from hasten.workflow.verifying import verified

__all__ = ["model"]
OPTIONS = SearchOptions(num_samples=8, pairs=2)


def checked(answer: Answer, model: Model, folder: Path, options: SearchOptions = OPTIONS) -> Answer:
    def write(one: Answer) -> Path:
        return written(folder, model, one)

    return verified(answer.model_copy(update={"script": str(write(answer))}), write, options)


@pytest.mark.full  # claims are refuted in test_verify.py
def test_a_claim_that_is_too_high_becomes_what_was_measured(model: Model, tmp_path: Path) -> None:
    answer = checked(claimed(PLAN, speedup=50.0), model, tmp_path)
    assert answer.verified is not None and answer.speedup is not None and answer.speedup < 40
    assert answer.plan == PLAN and answer.confirmed is not None and answer.confirmed.split != "search"
    assert "The first claim, 50.00x, was too high" in answer.warnings[0]
    claim = read_claim(answer.script or "")
    assert claim.speedup == pytest.approx(answer.speedup, rel=1e-4)
    assert answer.quality_loss is not None and claim.losses["ssim"] == pytest.approx(answer.quality_loss, rel=1e-4)
    assert answer.fresh is not None and answer.fresh != answer.confirmed  # measured once more, by the new claim


@pytest.mark.parametrize(
    ("limit_s", "spent_s", "samples", "longest_s"),
    [
        (None, 0.0, 32, LONGEST_S),
        (500.0, 0.0, 32, LONGEST_S),
        (100.0, 0.0, 32, 100 - FRESH_PROCESS_S - 70),
        (100.0, 40.0, 19, 1.0),  # (60 - 15) / 2, without those that warm up
        (100.0, 200.0, 8, 0.0),
    ],
)
def test_a_fresh_process_draws_as_many_images_as_the_time_allows(
    limit_s: float | None,
    spent_s: float,
    samples: int,
    longest_s: float,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked = dict[str, Any]()

    def measured(_: str, **given: Any) -> Any:
        asked.update(given)
        raise MeasurementError("not in this test")

    monkeypatch.setattr(verifying, "verify", measured)
    monkeypatch.setattr(verifying, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    trial = trial_of(PLAN).model_copy(update={"latency": latency(3.0, baseline_s=1.5)})
    timed = claimed(PLAN).model_copy(update={"confirmed": trial, "script": "a.py"})
    verified(timed, lambda _: tmp_path, SearchOptions(max_time_s=limit_s, spent_s=spent_s))
    assert asked == {"samples": samples, "pairs": 7, "longest_s": pytest.approx(longest_s)}


@pytest.mark.full  # how many are drawn is above
def test_images_that_were_not_drawn_for_want_of_time_are_told(model: Model, tmp_path: Path) -> None:
    late = replace(OPTIONS, num_samples=32, max_time_s=1.0, spent_s=1.0)
    answer = checked(claimed(PLAN, speedup=0.1), model, tmp_path, late)
    assert answer.fresh is not None and answer.fresh.losses["ssim"].samples == 8
    assert "In the fresh process: 8 of 32 images were drawn, for want of time" in answer.warnings


@pytest.mark.full  # the claim that is corrected is above
def test_what_misses_the_request_is_not_corrected(model: Model, tmp_path: Path) -> None:
    given = claimed(PLAN, speedup=50.0)
    task = given.task.model_copy(update={"target": Target(speedup=40.0)})
    answer = checked(given.model_copy(update={"task": task}), model, tmp_path)
    assert answer.verified is False and answer.status == "likely" and answer.exit_code == 1
    assert "below the requested 40x" in answer.reason
    assert read_claim(answer.script or "").speedup == 50.0
