"""Plain fewer steps are the answer where they do better than the plan that was found and are allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import ENVIRONMENT, model_of, setting_of
from tests.support.landscape import Landscape, latency, loss, trial

from hasten.language.parse import parse
from hasten.measure.contract import TrialSpec
from hasten.methods import METHODS
from hasten.plan import Plan
from hasten.records import EqualTime
from hasten.script.claim import read_claim
from hasten.script.write import render_script
from hasten.search import SearchOptions, SearchResult, run_search
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd
from hasten.workflow.answers import answer_of

FEWER, STEPS = "fewer_steps(reduced_steps=5)", 5
OTHERS = tuple(name for name in METHODS.names() if name != "deepcache")


@dataclass
class Compared(Landscape):
    """Plans of DeepCache lose 0.01 and an SSIM of 0.1; so many steps, as fast as any of them, lose ``fewer``."""

    fewer: tuple[float, float] = (0.001, 0.01)

    def trial(self, plan: Plan, spec: TrialSpec, **given: Any) -> Any:
        found = super().trial(plan, spec, **given)
        if plan.methods != ("fewer_steps",) or not found.losses:
            return found
        ssim = loss(self.fewer[1], metric="ssim")
        return found.model_copy(update={"losses": {**found.losses, "ssim": ssim}})

    def equal_time(self, plan_latency: Any, spec: TrialSpec, **given: Any) -> EqualTime:
        losses = {m: loss(value, metric=m) for m, value in zip(("clip_score", "ssim"), self.fewer, strict=True)}
        own = given["plan_losses"]
        loses = tuple(m for m in own if losses[m].loss < own[m].loss)
        known = {"split": "held-out", "offset": spec.offset, "losses": losses, "steps": STEPS}
        fewer = trial("baseline", latency=latency(plan_latency.speedup), **known)
        return EqualTime(steps=STEPS, trial=fewer, plan_loses=loses)


def speed(plan: Plan) -> float:
    return 2.0 if "fewer_steps" in plan.methods else 1.4 + 0.1 * plan.parameters["deepcache"]["cache_interval"]


def cost(plan: Plan) -> float:
    return 0.001 if "fewer_steps" in plan.methods else 0.01


def compared(**changes: Any) -> Compared:
    return Compared(**{"speedup": speed, "clip_loss": cost, "pipe": tiny_sd(), "half_width": 0.0001, **changes})


def task(**changes: Any) -> Task:
    """Of any method; only DeepCache is tried."""
    known: dict[str, Any] = {"model": "landscape", "scheduler": "DDIM", "steps": 25, "target": {"speedup": 1.8}}
    return Task(**{**known, "methods": None, "excluded": _without("fewer_steps"), **changes})


def _without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in OTHERS if name not in names)


def found(bench: Compared, asked: Task, **changes: Any) -> SearchResult:
    return run_search(bench, asked, SearchOptions(**{"storage": "memory", "strategy": "traversal", **changes}))


def test_fewer_steps_lead_where_any_method_is_asked_for() -> None:
    result = found(compared(), task())
    assert result.status == "met" and result.confirmed is not None and str(result.confirmed.plan) == FEWER
    assert result.confirmed.split == "held-out" and result.confirmed.offset > 0, "by a verdict of their own"
    assert result.instead_of is not None and result.instead_of.plan.methods == ("deepcache",)
    answer = answer_of(task(), result)
    assert (str(answer.plan), answer.parameters) == (FEWER, {"fewer_steps": {"reduced_steps": STEPS}})
    assert answer.instead_of == result.instead_of and not answer.dominated and not answer.warnings
    assert answer.equal_time is not None and answer.equal_time.says == (
        f"{result.instead_of.plan}, 1.90x, is no faster and does worse: clip_score loss 0.0100 against 0.0010; "
        "ssim loss 0.1000 against 0.0100."
    )


def test_the_script_is_that_of_fewer_steps(tmp_path: Path) -> None:
    answer = answer_of(task(), found(compared(), task()))
    model = model_of("emoji-sd")
    text = render_script(answer, setting_of(model), model, command="hasten run", environment=ENVIRONMENT)
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8")
    assert read_claim(script).plan == FEWER and "fewer_steps" in text


def test_methods_that_were_asked_for_stand_and_the_comparison_is_the_second_sentence() -> None:
    named = task(methods=("deepcache",), excluded=())
    result = found(compared(), named)
    assert result.instead_of is None and result.confirmed is not None
    answer = answer_of(named, result)
    assert answer.plan.methods == ("deepcache",) and answer.dominated
    assert answer.equal_time is not None and answer.equal_time.says == (
        "The plain pipeline with 5 steps is as fast and does better: clip_score loss 0.0010 against 0.0100; "
        "ssim loss 0.0100 against 0.1000."
    )
    assert not answer.warnings and answer.to_json()["equal_time"]["says"] == answer.equal_time.says


@pytest.mark.parametrize("fewer", [(0.001, 0.1), (0.01, 0.01), (0.02, 0.2)])
def test_a_plan_that_is_as_good_by_one_metric_is_not_dominated(fewer: tuple[float, float]) -> None:
    result = found(compared(fewer=fewer), task())
    assert result.confirmed is not None and result.confirmed.plan.methods == ("deepcache",)
    assert result.equal_time is not None and not result.equal_time.dominates
    said = result.equal_time.plan_loses and answer_of(task(), result).equal_time
    assert bool(said and said.says) == (fewer != (0.02, 0.2))


@pytest.mark.parametrize(
    ("fewer", "says"),
    [
        (
            (0.02, 0.2),
            "It beats the plain pipeline with 5 steps in the same time: clip_score loss 0.0100 against 0.0200; "
            "ssim loss 0.1000 against 0.2000.",
        ),
        (
            (0.001, 0.2),
            "It beats the plain pipeline with 5 steps in the same time: ssim loss 0.1000 against 0.2000; but not "
            "by clip_score loss 0.0100 against 0.0010.",
        ),
    ],
)
def test_what_a_plan_does_better_than_fewer_steps_is_said(fewer: tuple[float, float], says: str) -> None:
    named = task(methods=("deepcache",), excluded=())
    compared_with = answer_of(named, found(compared(fewer=fewer), named)).equal_time
    assert compared_with is not None and compared_with.says == says


def test_fewer_steps_that_do_not_hold_on_prompts_of_their_own_do_not_lead() -> None:
    bench = compared(held_out=lambda plan: 0.5 if "fewer_steps" in plan.methods else 0.01)
    result = found(bench, task())
    assert result.instead_of is None and answer_of(task(), result).dominated
    slow = compared(speedup=lambda plan: 1.2 if "fewer_steps" in plan.methods else speed(plan))
    assert found(slow, task()).instead_of is None


def test_they_lead_again_from_the_store(tmp_path: Path) -> None:
    kept = {"storage": str(tmp_path / "trials.db")}
    first = found(compared(), task(target=None), **kept)
    again = compared()
    second = found(again, task(target=None), **kept)
    assert second.confirmed == first.confirmed and not again.measured
    assert second.instead_of == first.instead_of is not None
    named = found(compared(), task(target=None, excluded=OTHERS), **kept)
    assert named.instead_of is None, "the bound that is kept is that of the methods"


def test_the_best_of_an_infeasible_answer_is_fewer_steps_too() -> None:
    asked = task(target={"speedup": 9})
    answer = answer_of(asked, found(compared(), asked))
    assert answer.status == "infeasible" and answer.best is not None
    assert str(answer.best.plan) == FEWER and FEWER in answer.reason and answer.best.instead_of is not None


ALLOWED = {
    "Make emoji-sd 1.5x faster": True,
    "Make emoji-sd 1.5x faster with 25 steps": False,
    "Make emoji-sd 1.5x faster with any method and 25 steps": True,
    "Make emoji-sd as fast as possible": True,
    "Make emoji-sd 1.5x faster with DeepCache": False,
    "让emoji-sd加速1.5倍": True,
    "使用25步让emoji-sd加速1.5倍": False,
}


@pytest.mark.parametrize("sentence", ALLOWED)
def test_what_a_request_says_of_methods_and_steps_decides_whether_they_may(sentence: str) -> None:
    assert parse(sentence).allows_fewer_steps is ALLOWED[sentence]


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"methods": None}, True),
        ({"methods": None, "lossless": True}, False),
        ({"methods": None, "excluded": ("fewer_steps",)}, False),
        ({"methods": None, "parameters": {"deepcache": {"cache_interval": 3}}}, False),
        ({"methods": ("deepcache", "tome"), "one_of": True}, False),
    ],
)
def test_what_a_task_excludes_or_fixes_they_do_not_replace(changes: dict[str, Any], allowed: bool) -> None:
    known: dict[str, Any] = {"model": "emoji-sd", "scheduler": "DDIM", "steps": 25, "target": {"speedup": 2}}
    assert Task(**{**known, **changes}).allows_fewer_steps is allowed


def test_a_difference_within_chance_is_said_to_be_one() -> None:
    """Fewer steps lose less by the mean of a few prompts that scatter by more: nobody does better."""
    named = task(methods=("deepcache",), excluded=())
    result = found(compared(fewer=(0.001, 0.1)), named)
    assert result.equal_time is not None and result.confirmed is not None
    clip = result.confirmed.losses["clip_score"]
    scattered = tuple(score * (1 + 0.05 * (-1) ** i) for i, score in enumerate(clip.scores))
    losses = {**result.confirmed.losses, "clip_score": clip.model_copy(update={"scores": scattered})}
    own = result.confirmed.model_copy(update={"losses": losses})
    said = answer_of(named, replace(result, confirmed=own)).equal_time
    assert said is not None and said.says.startswith(
        "The plain pipeline with 5 steps is as fast, and neither does better by more than chance: clip_score loss "
    )
