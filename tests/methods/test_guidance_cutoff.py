"""What the cutoff of guidance promises beyond the contract: it is diffusers' own; a step is the scheduler's."""

from __future__ import annotations

import pytest
import torch
from diffusers import HeunDiscreteScheduler
from diffusers.callbacks import SDCFGCutoffCallback, SDXLCFGCutoffCallback

from hasten.language.parse import parse
from hasten.methods import apply, work
from hasten.plan import Plan
from hasten.testing.generating import FAMILIES, counting, fresh, latents, shared

STEPS = 6
CUTOFFS = {"sd": SDCFGCutoffCallback, "sdxl": SDXLCFGCutoffCallback}
unets = pytest.mark.parametrize("family", [f for f in FAMILIES if f in CUTOFFS])


@unets
@pytest.mark.parametrize("cutoff", [1, 4])
def test_guidance_ends_as_diffusers_own_callback_ends_it(family: str, cutoff: int) -> None:
    pipe = shared(family)
    end = CUTOFFS[family](cutoff_step_ratio=None, cutoff_step_index=cutoff - 1)
    image = latents(pipe, num_inference_steps=STEPS, callback_on_step_end=end)
    with apply(pipe, f"guidance_cutoff(cutoff_step={cutoff})", STEPS):
        assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)


def test_several_images_keep_their_own_prompts() -> None:
    """The callback keeps the last prompt's embedding only, so that it cannot be asked here."""
    pipe, prompts = shared("sd"), ["a cat", "a dog", "a bird"]
    with apply(pipe, "guidance_cutoff(cutoff_step=3)", STEPS):
        together = latents(pipe, num_inference_steps=STEPS, prompt=prompts)
        alone = [latents(pipe, num_inference_steps=STEPS, prompt=p, seed=i) for i, p in enumerate(prompts)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)


def test_a_run_without_guidance_is_left_alone() -> None:
    pipe, given = shared("sd"), {"guidance_scale": 1.0, "prompt": ["a dog", "a cat"]}
    image = latents(pipe, **given)
    with apply(pipe, "guidance_cutoff(cutoff_step=1)"):
        assert torch.equal(latents(pipe, **given), image)


def test_a_step_of_two_calls_is_one_step() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    with apply(pipe, "guidance_cutoff(cutoff_step=2)", STEPS), counting(pipe.unet) as counts:
        latents(pipe, num_inference_steps=STEPS)
    calls = 2 * STEPS - 1
    assert counts["calls"] == calls
    assert counts["rows"] * calls == counts["resnets"] * (2 * 4 + (calls - 4)), "the first two steps have four"


def test_what_others_stored_for_both_halves_is_dropped_at_the_cutoff() -> None:
    pipe = shared("sd")
    plan = Plan.parse("deepcache(cache_interval=4)+guidance_cutoff(cutoff_step=3)")
    assert [not step.blocks for step in work(plan, pipe, STEPS)] == [True, False, False, True, False, False]


@pytest.mark.parametrize(
    "words",
    [
        "Make SD1.5 faster with guidance cutoff (cutoff step 10)",
        "Make SD1.5 faster with CFG cutoff, cutoff_step=10",
        "用引导截断（cutoff_step为10）加速SD1.5流水线",
    ],
)
def test_requests_name_it(words: str) -> None:
    task = parse(words)
    assert task.methods == ("guidance_cutoff",)
    assert task.parameters == {"guidance_cutoff": {"cutoff_step": 10}}
