"""Fewer steps: the calls of one pipeline, what other methods make of what is left, and what is searched of it."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, HeunDiscreteScheduler
from tests.support.examples import ENVIRONMENT, model_of, setting_of
from tests.support.examples import answer_of as script_answer
from tests.support.landscape import Landscape
from tests.support.profiles import random_profile

from hasten.errors import InputError, ParameterError, UnsupportedError
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.methods import METHODS, apply, check_plan, is_equal_time, work
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel
from hasten.predict.space import Space
from hasten.script.claim import read_claim
from hasten.script.write import render_script
from hasten.search import SearchOptions, run_search
from hasten.search.task_plans import check_task
from hasten.task import Target, Task
from hasten.testing.generating import FAMILIES, beside, counting, fresh, latents, shared
from hasten.workflow.answers import ITSELF, answer_of


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_pipeline_with_fewer_steps_and_comes_off(family: str) -> None:
    pipe = shared(family)
    kind, baseline, short = type(pipe), latents(pipe), latents(pipe, num_inference_steps=3)
    signature = inspect.signature(kind.__call__)
    with apply(pipe, "fewer_steps(reduced_steps=3)", 4):
        assert isinstance(pipe, kind) and type(pipe).__name__ == kind.__name__
        assert inspect.signature(type(pipe).__call__) == signature
        assert torch.equal(latents(pipe), short)
        assert torch.equal(latents(pipe, num_inference_steps=3), short), "never more than asked for"
    assert type(pipe) is kind and torch.equal(latents(pipe), baseline)


def test_steps_given_by_position_or_not_at_all_are_reduced() -> None:
    pipe = fresh("sd")
    given: dict[str, Any] = {"output_type": "latent", "return_dict": False}
    calls = [((), {}), (("a dog", 64, 64, 9), {})]
    with apply(pipe, "fewer_steps(reduced_steps=2)"):
        for args, more in calls:
            with counting(pipe.unet) as counts:
                pipe(*args, **(more if args else {"prompt": "a dog"}), **given)
            assert counts["calls"] == 2


def test_image_to_image_takes_its_share_of_what_is_left() -> None:
    pipe, given = beside(fresh("sd"))
    half = latents(pipe, num_inference_steps=5, **given)
    with apply(pipe, "fewer_steps(reduced_steps=5)"):
        assert torch.equal(latents(pipe, num_inference_steps=20, **given), half)


def test_a_call_that_says_its_steps_itself_is_an_error() -> None:
    pipe = shared("sd")
    with (
        apply(pipe, "fewer_steps(reduced_steps=2)"),
        pytest.raises(InputError, match="the call is given timesteps, which say themselves how many"),
    ):
        latents(pipe, timesteps=[900, 500, 100])


def test_a_pipeline_that_is_called_without_steps_is_refused() -> None:
    class Once(DiffusionPipeline):
        def __init__(self, unet: Any) -> None:
            super().__init__()
            self.register_modules(unet=unet)

        def __call__(self, prompt: str) -> str:
            return prompt

    with pytest.raises(UnsupportedError, match="a Once is not called with num_inference_steps"):
        apply(Once(shared("sd").unet), "fewer_steps")


def test_other_methods_have_the_steps_that_are_left() -> None:
    pipe, plan = shared("sd"), "fewer_steps(reduced_steps=12)+tgate(gate_step={})"
    assert check_plan(Plan.parse(plan.format(12)), pipe, 25)
    for steps in (25, None):
        with pytest.raises(ParameterError, match="T-GATE's gate_step is 13: allowed is an integer, 1 to 12"):
            check_plan(Plan.parse(plan.format(13)), pipe, steps)
    assert len(work(Plan.parse(plan.format(5)), pipe, 25)) == 12
    assert check_plan(Plan.parse("fewer_steps"), pipe, 25).parameters["fewer_steps"] == {"reduced_steps": 12}
    with pytest.raises(InputError, match="Fewer steps and Step schedule cannot be used together, as the lists"):
        check_plan(Plan.parse("fewer_steps+schedule"), pipe, 25)


def test_beside_deepcache_it_is_deepcache_with_fewer_steps() -> None:
    pipe, deepcache = shared("sd"), "deepcache(cache_interval=2)"
    with apply(pipe, deepcache):
        short = latents(pipe, num_inference_steps=4)
    with apply(pipe, f"{deepcache}+fewer_steps(reduced_steps=4)", 9):
        assert torch.equal(latents(pipe, num_inference_steps=9), short)


@pytest.mark.parametrize("methods", [["fewer_steps"], ["deepcache", "fewer_steps"]])
def test_its_grid_holds_what_is_legal_and_is_predicted_as_its_plans_are(methods: list[str]) -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    model, space = CostModel(pipe, random_profile(pipe), 12), Space(methods, pipe, 12)
    plans, found = list(space), model.speedups(space)
    assert {p.parameters["fewer_steps"]["reduced_steps"] for p in plans} == {11, 10, 8, 7, 6, 5, 4, 2}
    assert all(check_plan(p, pipe, 12) == p for p in plans)
    assert np.array_equal(np.isnan(found), ~space.cells)
    for plan in plans:
        assert found[space.index(plan)] == pytest.approx(model.speedup(plan), rel=1e-9), plan
    if methods == ["fewer_steps"]:
        steps = [model.speedup(p) for p in plans]
        assert steps == sorted(steps)
    else:
        intervals = {p.parameters["deepcache"]["cache_interval"] for p in plans if "steps=2" in str(p)}
        assert intervals == {2}, "5 is no interval of 2 steps"


def test_a_search_of_the_steps_takes_others_of_all_steps() -> None:
    fixed = {"tgate": {"gate_step": 20}}
    common: dict[str, Any] = {"model": "SD1.5", "scheduler": "DDIM", "steps": 25, "parameters": fixed}
    task = Task(**common, methods=("fewer_steps", "tgate"), target=Target(speedup=1.2))
    assert check_task(task, shared("sd")) == fixed
    with pytest.raises(ParameterError, match="gate_step is 20"):  # by default half of the steps are left
        check_task(Task(**common, methods=("fewer_steps", "tgate")), shared("sd"))


def test_alone_it_is_the_equal_time_baseline() -> None:
    alone, more = Plan.parse("fewer_steps(reduced_steps=9)"), Plan.parse("fewer_steps(reduced_steps=9)+tome")
    assert [is_equal_time(plan) for plan in (Plan(), alone, more)] == [False, True, False]
    for plan, compared in ((alone, False), (more, True)):
        bench = Landscape(speedup=lambda p: 2.0, clip_loss=lambda p: 0.001, pipe=shared("sd"))
        task = Task(model="x", scheduler="DDIM", steps=25, methods=plan.methods, parameters=plan.parameters)
        answer = answer_of(task, run_search(bench, task, SearchOptions(storage="memory")))
        assert answer.status == "met" and (answer.equal_time is not None) == compared
        assert (ITSELF in answer.warnings) != compared


def test_scripts_in_the_packages_calls_take_fewer_steps(tmp_path: Path) -> None:
    plan, model = Plan.parse("fewer_steps(reduced_steps=2)"), model_of("emoji-sd")
    source = render_script(
        script_answer(plan), setting_of(model), model, runtime="upstream", command="c", environment=ENVIRONMENT
    )
    path = tmp_path / "script.py"
    path.write_text(source, encoding="utf-8")
    assert read_claim(path).plan == str(plan) and "hasten.accelerate" not in source
    script = runpy.run_path(str(path))
    pipe, calls = script["load_pipeline"](), []
    for step in (lambda: None, lambda: script["accelerate"](pipe)):
        step()
        with counting(pipe.unet) as counts:
            script["generate"](pipe, "a dog", 4)
        calls.append(counts["calls"])
    assert calls == [4, 2]


@pytest.mark.parametrize(
    ("words", "steps", "parameters"),
    [
        ("Make SD1.5 with 50 steps 2x faster with fewer steps", 50, {}),
        ("SD1.5 with 50 steps, accelerated by fewer steps (reduced_steps 20)", 50, {"reduced_steps": 20}),
        ("用减少步数加速SD1.5流水线，50步，精度损失不超过0.02", 50, {}),
        ("使用DDIM采样器、50步生成SD1.5流水线，用更少的步数（reduced_steps为20）加速", 50, {"reduced_steps": 20}),
    ],
)
def test_requests_name_it(words: str, steps: int, parameters: dict[str, Any]) -> None:
    task = parse(words)
    assert (task.methods, task.steps) == (("fewer_steps",), steps)
    assert task.parameters.get("fewer_steps", {}) == parameters
    for language in ("en", "zh"):
        again = parse(render(task, language))
        assert (again.methods, again.steps, again.parameters) == (task.methods, steps, task.parameters)


def test_it_is_tried_only_where_it_is_named() -> None:
    assert not METHODS.get("fewer_steps").by_default
