"""What a handle tells of its methods: counted as declared, and a warning where one had no effect."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, LCMScheduler, UNet2DConditionModel
from tests.contracts.expected import EXPECTED, SUPPORTED, effective
from tests.support.methods import each_method

from hasten.errors import NoEffectWarning
from hasten.methods import METHODS, apply
from hasten.methods._stats import MethodStats
from hasten.methods.base import EFFECTS, Step
from hasten.plan import Plan
from hasten.testing.generating import denoiser_of, fresh, img2img, latents, picture, shared

STEPS = 4
every_method = each_method(lambda name: True)
QUIET = "deepcache(cache_branch_id=0,cache_interval=1)"


@every_method
def test_counted_as_declared(family: str, name: str) -> None:
    """Two equal calls of each method on each family: the counts are those of the work that it declares."""
    pipe, method, plan = shared(family), METHODS.get(name), effective((name,))
    with apply(pipe, plan, STEPS) as handle:
        declared = method.steps(pipe, handle.plan.parameters[name], STEPS)
        latents(pipe)
        once = handle.stats[name]
        latents(pipe)
    found = handle.stats[name]
    assert found == MethodStats(**{key: 2 * value for key, value in dataclasses.asdict(once).items()})
    assert (once.runs, once.steps, once.runs_without_effect) == (1, len(declared), 0)
    assert once.left_out == STEPS - len(declared)
    if method.adaptive:
        assert once.reused > 0 and once.full == once.steps - once.reused
        return
    assert once.full == sum(step == Step() for step in declared)
    assert once.guidance_dropped == sum(not step.guidance for step in declared)
    assert once.merged == sum(bool(step.merged) for step in declared)
    assert method.cuts_work == (any(getattr(once, effect) for effect in EFFECTS) or once.left_out > 0)


def without_effect(pipe: Any, plan: str, **given: Any) -> tuple[list[str], dict[str, MethodStats]]:
    """What two equal calls warn of, and the stats after them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NoEffectWarning)
        with apply(pipe, plan) as handle:
            latents(pipe, **given)
            latents(pipe, **given)
    return [str(w.message) for w in caught if w.category is NoEffectWarning], handle.stats


def few_steps(plan: str) -> pytest.param:
    return pytest.param(plan, id=Plan.parse(plan).methods[0])


EARLY = [few_steps(EXPECTED[name]["effective"]) for name in SUPPORTED["sd"] if METHODS.get(name).cuts_work]


@pytest.mark.parametrize("plan", [case for case in EARLY if case.id != "tome"])
def test_a_call_of_one_step_is_told_once(plan: str) -> None:
    name = Plan.parse(plan).methods[0]
    told, stats = without_effect(shared("sd"), plan, num_inference_steps=1)
    title = METHODS.get(name).title
    assert len(told) == 1 and told[0].startswith(f"{title} had no effect in a call of 1 step: its parameters (")
    assert (stats[name].runs, stats[name].full, stats[name].runs_without_effect) == (2, 2, 2)


def test_img2img_with_a_small_strength_is_told() -> None:
    """Of 10 steps, 2 are left: too few for an interval of 3."""
    pipe = img2img(shared("sd"))
    given = {"image": picture(), "strength": 0.2, "num_inference_steps": 10}
    told, stats = without_effect(pipe, "deepcache(cache_branch_id=0,cache_interval=3)", **given)
    assert stats["deepcache"].reused == 2 and told == [], "the second step reuses what the first stored"
    told, stats = without_effect(pipe, "tgate(gate_step=5,sp_interval=5,warm_up=2)", **given)
    assert len(told) == 1 and "T-GATE had no effect in a call of 2 steps: its parameters (" in told[0]
    assert "gate_step=5" in told[0] and stats["tgate"] == MethodStats(2, 4, 4, runs_without_effect=2)


def test_a_gate_beyond_the_steps_of_a_call_is_told_though_self_attention_was_reused() -> None:
    """Without the number of steps, ``apply`` cannot refuse it."""
    told, stats = without_effect(shared("sd"), "tgate(gate_step=30,sp_interval=3,warm_up=1)")
    (sentence,) = told
    assert "T-GATE's gate_step is 30, and a call had 4 steps: cross-attention and guidance ran at all" in sentence
    assert stats["tgate"].reused > 0 and stats["tgate"].guidance_dropped == 0
    for gate in (1000, 4, 3):  # never, never in a call of 4 steps, the last step
        assert without_effect(shared("sd"), f"tgate(gate_step={gate},sp_interval=3,warm_up=1)")[0] == []


@pytest.mark.parametrize("plan", ["guidance_cutoff(cutoff_step=1)", "faster_cache(first_step=1)"])
def test_a_call_without_guidance_is_told(plan: str) -> None:
    told, _ = without_effect(shared("sd"), plan, guidance_scale=1.0)
    assert len(told) == 1 and "4 steps: it was not guided" in told[0]


def test_a_distilled_model_is_told() -> None:
    """A latent consistency model has its guidance embedded: there is no second half to drop."""
    pipe = fresh("sd")
    torch.manual_seed(0)
    config = {name: value for name, value in pipe.unet.config.items() if name != "_use_default_values"}
    unet = UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 8}).eval()
    parts = {**pipe.components, "unet": unet, "scheduler": LCMScheduler()}
    distilled = LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)
    distilled.set_progress_bar_config(disable=True)
    told, stats = without_effect(distilled, "guidance_cutoff(cutoff_step=1)+deepcache(cache_interval=2)")
    assert len(told) == 1 and told[0].startswith(
        "Guidance cutoff had no effect in a call of 4 steps: it was not guided"
    )
    assert stats["deepcache"].reused == 2 and stats["guidance_cutoff"].guidance_dropped == 0


def test_a_method_whose_store_another_one_drops_is_told() -> None:
    told, _ = without_effect(shared("sd"), "guidance_cutoff(cutoff_step=1)+deepcache", num_inference_steps=2)
    assert len(told) == 1 and "DeepCache had no effect in a call of 2 steps: what it stored was dropped" in told[0]


def test_an_adaptive_method_whose_image_changes_is_told() -> None:
    told, stats = without_effect(shared("sd3"), "first_block_cache(threshold=1e-06)")
    assert len(told) == 1 and "the image changed too much from step to step" in told[0]
    assert stats["first_block_cache"].full == 8


def test_a_run_of_timesteps_that_the_pipeline_computes_is_told_when_it_ends() -> None:
    """FLUX.1 gives its transformer timesteps of its own making."""
    pipe = shared("flux")
    with apply(pipe, "taylorseer(cache_interval=3,disable_cache_before_step=2)") as handle:
        with pytest.warns(NoEffectWarning, match="TaylorSeer had no effect in a call of 2 steps"):
            latents(pipe, num_inference_steps=2)
        assert handle.stats["taylorseer"].runs_without_effect == 1


def test_a_run_whose_end_cannot_be_seen_is_told_when_the_plan_is_taken_off() -> None:
    """A loop of one's own, with timesteps that are numbers."""
    pipe = shared("sd")
    handle = apply(pipe, "deepcache(cache_interval=3)")
    with torch.no_grad():
        pipe.unet(torch.zeros(2, 4, 16, 16), 500, encoder_hidden_states=torch.zeros(2, 16, 32))
    assert handle.stats["deepcache"].runs_without_effect == 0
    with pytest.warns(NoEffectWarning, match="DeepCache had no effect in a call of 1 step"):
        handle.remove()
    assert handle.stats["deepcache"].runs_without_effect == 1


@pytest.mark.parametrize("plan", [QUIET, "half_precision", "channels_last", ""])
def test_nothing_is_told_of_what_is_meant_to_leave_all_as_it_is(plan: str) -> None:
    told, stats = without_effect(shared("sd"), plan)
    assert told == [] and all(found.full == found.steps == 8 for found in stats.values())


def test_a_run_that_is_broken_off_is_no_call_without_effect() -> None:
    """The second step would have reused; and the next call is counted anew."""
    pipe = shared("sd")

    def stop(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("error", NoEffectWarning)
        with apply(pipe, "deepcache(cache_interval=4)") as handle:
            with pytest.raises(KeyboardInterrupt):
                latents(pipe, callback_on_step_end=stop)
            latents(pipe)
        with pytest.raises(KeyboardInterrupt), apply(shared("flux"), "taylorseer(cache_interval=2)"):
            latents(shared("flux"), callback_on_step_end=stop)
    assert handle.stats["deepcache"] == MethodStats(runs=2, steps=5, full=2, reused=3)


def test_the_warning_points_at_the_users_own_line() -> None:
    pipe = shared("sd")
    with pytest.warns(NoEffectWarning) as caught, apply(pipe, "deepcache"):
        latents(pipe, num_inference_steps=1)
    assert caught[0].filename == __file__


def test_handles_count_their_own_methods_and_go_on_telling_after_they_are_removed() -> None:
    pipe = shared("sd")
    outer = apply(pipe, "tome(ratio=0.5)")
    inner = apply(pipe, "deepcache(cache_interval=2)")
    latents(pipe)
    inner.remove()
    latents(pipe)
    outer.remove()
    latents(pipe)
    assert inner.stats == {"deepcache": MethodStats(runs=1, steps=4, full=2, reused=2)}
    assert outer.stats == {"tome": MethodStats(runs=2, steps=8, full=0, merged=8)}
    assert not hasattr(denoiser_of(pipe), "_hasten_patches")


@pytest.mark.parametrize("scheduler", ["HeunDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler"])
def test_steps_are_the_schedulers_however_many_calls_each_takes(scheduler: str) -> None:
    import diffusers

    pipe = fresh("sd")
    pipe.scheduler = getattr(diffusers, scheduler)()
    with apply(pipe, "deepcache(cache_interval=2)") as handle:
        latents(pipe, num_inference_steps=6)
    found = handle.stats["deepcache"]
    assert (found.steps, found.full, found.reused) == (6, 3, 3)
