"""The figures of an answer follow from its trial, in Python and in JSON alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import answer_of, plan_of, trial_of

from hasten.answer import FIGURES, Answer, StatedFigures
from hasten.plan import Plan

PLAN = plan_of("deepcache")
RECORDED = json.loads((Path(__file__).parent / "recorded" / "readme" / "answer.json").read_text())


def read(given: dict[str, Any]) -> Answer:
    return Answer.model_validate(json.loads(json.dumps(given)))


def test_the_figures_are_those_of_the_trial_that_decided() -> None:
    answer = answer_of(PLAN)
    trial = answer.confirmed
    assert trial is not None and trial.latency is not None
    loss = trial.losses["clip_score"]
    assert (answer.plan, answer.plan_text, answer.parameters) == (PLAN, str(PLAN), PLAN.parameters)
    assert (answer.speedup, answer.speedup_interval) == (trial.latency.speedup, trial.latency.interval)
    assert (answer.quality_loss, answer.quality_loss_interval) == (loss.loss, loss.interval)
    assert (answer.baseline_latency_s, answer.latency_s) == (trial.latency.baseline_s, trial.latency.plan_s)
    other = answer.model_copy(update={"confirmed": trial_of(PLAN, speedup=3.0)})
    assert (other.speedup, other.latency_s) == (3.0, 0.5 / 3.0)


def test_the_loss_is_that_of_the_limit_that_is_nearest() -> None:
    answer, loss = answer_of(PLAN), {"clip_score": 0.0033, "ssim": 0.09}
    for limits, named in (((0.1, 0.1), "ssim"), ((0.01, 0.9), "clip_score")):
        by_metric = dict(zip(("clip_score", "ssim"), limits, strict=True))
        task = answer.task.model_copy(update={"max_loss": by_metric})
        assert answer.model_copy(update={"task": task}).quality_loss == pytest.approx(loss[named], abs=1e-4)


def test_a_plain_pipeline_has_times_and_nothing_that_compares() -> None:
    answer = answer_of(Plan())
    assert (answer.plan, answer.plan_text, answer.latency_s) == (Plan(), "baseline", 0.5)
    assert answer.speedup is answer.speedup_interval is answer.quality_loss is answer.quality_loss_interval is None


def test_an_answer_without_a_plan_shows_its_best() -> None:
    best = answer_of(PLAN)
    none = Answer(status="infeasible", task=best.task, reason="out of reach", best=best)
    assert (none.plan, none.plan_text, none.speedup) == (Plan(), "", None) and none.shown is best
    assert best.shown is best and none.to_json()["plan"] == "" and none.to_json()["best"]["plan"] == str(PLAN)


def test_a_recorded_answer_is_written_as_it_was() -> None:
    answer = read(RECORDED)
    assert answer.to_json() == RECORDED
    assert list(answer.to_json()) == list(RECORDED) and RECORDED.keys() > set(FIGURES)


@pytest.mark.parametrize("answer", [answer_of(PLAN), answer_of(Plan())])
def test_json_round_trip(answer: Answer) -> None:
    assert read(answer.to_json()) == answer
    assert Answer.model_validate_json(answer.model_dump_json()) == answer


def test_figures_in_json_that_differ_from_their_trial_give_way_to_it() -> None:
    assert read({**RECORDED, "speedup": 99.0, "plan": "tome(ratio=0.5)"}) == read(RECORDED)


def test_figures_of_a_file_stand_in_json_as_measured_ones_do() -> None:
    stated = StatedFigures(plan=PLAN, speedup=2.6, quality_loss=0.01)
    answer = Answer(status="likely", task=answer_of(PLAN).task, stated=stated)
    data = answer.to_json()
    assert (data["plan"], data["speedup"], data["quality_loss"]) == (str(PLAN), 2.6, 0.01)
    assert data["speedup_interval"] is data["latency_s"] is data["confirmed"] is None
    assert data.keys() == RECORDED.keys() and read(data) == answer
