"""Another solver: the pipeline's calls follow it, with the training's own numbers, and nothing else does."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, HeunDiscreteScheduler
from tests.support.examples import ENVIRONMENT, model_of, setting_of
from tests.support.examples import answer_of as script_answer
from tests.support.marks import rarely
from tests.support.profiles import random_profile

from hasten.errors import InputError
from hasten.methods import METHODS, apply
from hasten.methods._stats import ELSEWHERE
from hasten.methods.solver import BY_WORD, own_scheduler
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel
from hasten.predict.space import Space
from hasten.schedulers import find_scheduler
from hasten.script.write import render_script
from hasten.testing.generating import beside, counting, fresh, latents, shared

WORDS = METHODS.get("solver").parameters()[0].allowed or ()


def _whole(own: Any) -> dict[str, Any]:
    return {name: value for name, value in own.config.items() if name != "_use_default_values"}


def _by_hand(pipe: Any, word: str, **given: Any) -> torch.Tensor:
    own = pipe.scheduler
    known = find_scheduler(word.removeprefix("to_").replace("pp", "++").replace("_", "-"))
    pipe.scheduler = known.build(_whole(own))
    try:
        return latents(pipe, **given)
    finally:
        pipe.scheduler = own


@pytest.mark.parametrize(
    ("family", "word"),
    [
        pytest.param(
            family, word, marks=rarely((family, word) != ("sd", "to_unipc") and word != "to_dpm_solverpp")
        )
        for family in ("sd", "sdxl", "pixart")
        for word in WORDS
        if word != "to_lcm"
    ],
)
def test_it_draws_what_the_pipeline_with_that_scheduler_draws(family: str, word: str) -> None:
    pipe = shared(family)
    own, config, baseline = pipe.scheduler, dict(pipe.config), latents(pipe)
    with apply(pipe, f"solver(swap={word})", 4):
        assert torch.equal(latents(pipe), _by_hand(pipe, word))
        assert pipe.scheduler is own, "outside of calls the pipeline has its own"
    assert pipe.scheduler is own and dict(pipe.config) == config
    assert torch.equal(latents(pipe), baseline)


def test_it_takes_over_what_the_model_was_trained_for() -> None:
    pipe = fresh("sd")
    pipe.scheduler = DDIMScheduler(beta_start=0.001, beta_end=0.01, prediction_type="v_prediction")
    seen: list[Any] = []

    def look(pipe: Any, step: int, timestep: Any, kwargs: Any) -> Any:
        seen.append(pipe.scheduler)
        return kwargs

    with apply(pipe, "solver(swap=to_dpm_solverpp)"):
        latents(pipe, callback_on_step_end=look)
    config, own = seen[0].config, pipe.scheduler.config
    assert type(seen[0]).__name__ == "DPMSolverMultistepScheduler"
    assert own["timestep_spacing"] == "leading", "the default of DDIM, and not of DPM-Solver++"
    for name in ("beta_start", "beta_end", "prediction_type", "timestep_spacing", "num_train_timesteps"):
        assert config[name] == own[name], name


def test_it_goes_with_fewer_steps_and_reuse() -> None:
    pipe = shared("sd")
    short = _by_hand(pipe, "to_unipc", num_inference_steps=5)
    with apply(pipe, "fewer_steps(reduced_steps=5)+solver(swap=to_unipc)", 8):
        assert torch.equal(latents(pipe, num_inference_steps=8), short)
    plan = "deepcache(cache_interval=2)+fewer_steps(reduced_steps=6)+solver(swap=to_pndm)"
    with apply(pipe, plan, 8) as handle, counting(pipe.unet) as counts:
        latents(pipe, num_inference_steps=8)
    assert handle.stats["deepcache"].steps == 6
    assert counts["calls"] == 15, "the Runge-Kutta of PNDM's first three steps has four calls each"
    assert handle.stats["deepcache"].reused == 3


def test_a_scheduler_that_is_exchanged_between_calls_is_followed() -> None:
    pipe = fresh("sd")
    with apply(pipe, "solver(swap=to_unipc)"):
        latents(pipe)
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, beta_end=0.02)
        assert torch.equal(latents(pipe), _by_hand(pipe, "to_unipc"))


@pytest.mark.parametrize("plan", ["solver(swap=to_unipc)", "fewer_steps(reduced_steps=2)"])
def test_a_call_of_another_pipeline_with_the_same_denoiser_is_told_of(plan: str) -> None:
    """It has a scheduler and steps of its own, which the method does not touch, whatever its own pipeline did."""
    pipe, told = fresh("sd"), list[str]()
    other, image = beside(pipe)
    drawn = {**image, "num_inference_steps": 8}  # of which image-to-image takes five
    plain = latents(other, **drawn)
    with apply(pipe, plan, 4, tell=told.append) as handle:
        latents(pipe)
        assert not told
        assert torch.equal(latents(other, **drawn), plain)
    (sentence,) = told
    assert "had no effect in a call of" in sentence and ELSEWHERE in sentence
    assert handle.stats[plan.partition("(")[0]].runs_without_effect == 1


def test_a_solver_that_is_the_pipelines_own_has_nothing_to_tell() -> None:
    pipe, told = fresh("sd"), list[str]()
    other, drawn = beside(pipe)
    own = own_scheduler(pipe)
    assert own is not None
    with apply(pipe, f"solver(swap={next(word for word, s in BY_WORD.items() if s == own)})", tell=told.append):
        latents(other, **drawn)
    assert not told


def test_a_call_that_fails_leaves_the_own_scheduler() -> None:
    pipe = shared("sd")
    own = pipe.scheduler

    def fail(pipe: Any, *args: Any) -> Any:
        raise KeyboardInterrupt

    with apply(pipe, "solver(swap=to_unipc)"), pytest.raises(KeyboardInterrupt):
        latents(pipe, callback_on_step_end=fail)
    assert pipe.scheduler is own


def test_a_call_that_says_its_steps_itself_is_an_error() -> None:
    pipe = shared("sd")
    with apply(pipe, "solver(swap=to_unipc)"), pytest.raises(InputError, match="Another solver is applied"):
        latents(pipe, timesteps=[900, 500, 100])


def test_models_of_flow_matching_are_refused() -> None:
    assert "flow matching" in (METHODS.get("solver").unsupported(shared("sd3")) or "")


def test_searches_try_what_is_of_second_order_and_not_the_own() -> None:
    grids = {f: METHODS.get("solver").parameters(shared(f), 8)[0].grid for f in ("sd", "pixart")}
    assert grids == {"sd": ("to_dpm_solverpp", "to_unipc"), "pixart": ("to_unipc",)}


def test_the_cost_model_counts_the_calls_of_the_scheduler_that_is_followed() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    model = CostModel(pipe, random_profile(pipe), 10)
    once = model.speedup(Plan.parse("solver(swap=to_unipc)"))
    assert once > 1.5, "Heun calls the denoiser twice a step"
    space = Space(["deepcache", "fewer_steps", "solver"], pipe, 10)
    grid = model.speedups(space)
    for plan in list(space)[::37]:
        assert grid[space.index(plan)] == pytest.approx(model.speedup(plan)), plan
    assert not np.isnan(grid[space.cells]).any()


def test_the_upstream_script_sets_the_scheduler(tmp_path: Path) -> None:
    plan = Plan.parse("fewer_steps(reduced_steps=6)+solver(swap=to_dpm_solverpp)")
    model = model_of("emoji-sd")
    source = render_script(
        script_answer(plan), setting_of(model), model, runtime="upstream", command="c", environment=ENVIRONMENT
    )
    assert "DPMSolverMultistepScheduler.from_config(config, **SOLVER)" in source
    path = tmp_path / "script.py"
    path.write_text(source)
    loaded = runpy.run_path(str(path))
    assert loaded["SOLVER"] == find_scheduler("DPM-Solver++").settings
    pipe = loaded["accelerate"](loaded["load_pipeline"]())
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert json.dumps(pipe.scheduler.config["prediction_type"]) == '"v_prediction"'
