"""Claims that are too high are corrected by what a fresh process measures, where that still answers them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.script.test_verify import PLAN, claimed, model, written

from hasten.models.base import Model
from hasten.records import Answer
from hasten.script.claim import read_claim
from hasten.search import SearchOptions
from hasten.task import Target
from hasten.workflow.verifying import verified

__all__ = ["model"]
OPTIONS = SearchOptions(num_samples=8, pairs=2)


def checked(answer: Answer, model: Model, folder: Path) -> Answer:
    def write(one: Answer) -> Path:
        return written(folder, model, one)

    return verified(answer.model_copy(update={"script": str(write(answer))}), write, OPTIONS)


def test_a_claim_that_is_too_high_becomes_what_was_measured(model: Model, tmp_path: Path) -> None:
    answer = checked(claimed(PLAN, speedup=50.0), model, tmp_path)
    assert answer.verified is not None and answer.speedup is not None and answer.speedup < 40
    assert answer.plan == str(PLAN) and answer.confirmed is not None and answer.confirmed.split != "search"
    assert "The first claim, 50.00x, was too high" in answer.warnings[0]
    claim = read_claim(answer.script or "")
    assert claim.speedup == pytest.approx(answer.speedup, rel=1e-4)
    assert answer.quality_loss is not None and claim.losses["ssim"] == pytest.approx(answer.quality_loss, rel=1e-4)
    assert answer.fresh is not None and answer.fresh != answer.confirmed  # measured once more, by the new claim


def test_what_misses_the_request_is_not_corrected(model: Model, tmp_path: Path) -> None:
    given = claimed(PLAN, speedup=50.0)
    task = given.task.model_copy(update={"target": Target(speedup=40.0)})
    answer = checked(given.model_copy(update={"task": task}), model, tmp_path)
    assert answer.verified is False and answer.status == "likely" and answer.exit_code == 1
    assert "below the requested 40x" in answer.reason
    assert read_claim(answer.script or "").speedup == 50.0
