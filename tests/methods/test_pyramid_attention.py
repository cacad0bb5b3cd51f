"""Pyramid Attention Broadcast beside diffusers' own, and where that one draws another image than it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    HeunDiscreteScheduler,
    PyramidAttentionBroadcastConfig,
    apply_pyramid_attention_broadcast,
)

from hasten.denoisers import denoiser_of, timestep_of
from hasten.errors import ParameterError
from hasten.language.parse import parse
from hasten.methods import apply, work
from hasten.plan import Plan
from hasten.testing.generating import FAMILIES, counting, fresh, latents, shared

STEPS, FIRST, LAST = 8, 2, 5
CROSSING = ("sd", "sdxl", "pixart")


def plan(family: str) -> str:
    cross = ",cross_interval=3" if family in CROSSING else ""
    return f"pyramid_attention(self_interval=2,first_step={FIRST},last_step={LAST}{cross})"


def upstream(pipe: Any, family: str, first: int = FIRST, last: int = LAST) -> None:
    """Puts diffusers' own on a pipeline that has drawn once, over the same steps."""
    now: list[float] = []
    denoiser, scale = denoiser_of(pipe), 1000 if family == "flux" else 1

    def look(module: Any, args: Any, kwargs: Any) -> None:
        now[:] = [float(timestep_of(module, args, kwargs).flatten()[0]) * scale]

    denoiser.register_forward_pre_hook(look, with_kwargs=True)
    times = pipe.scheduler.timesteps
    window = (float(times[last]) - 0.01, float(times[first]) + 0.01)  # both ends are outside
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=window,
        cross_attention_block_skip_range=3 if family in CROSSING else None,
        cross_attention_timestep_skip_range=window,
        current_timestep_callback=lambda: now[0],
    )
    apply_pyramid_attention_broadcast(denoiser, config)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_draws_what_diffusers_draws(family: str) -> None:
    pipe = fresh(family)
    with apply(pipe, plan(family), STEPS):
        image = latents(pipe, num_inference_steps=STEPS)
        assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)
    upstream(pipe, family)
    assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)
    # Models that diffusers gives no caches of their own are not told of a new run.
    again = torch.equal(latents(pipe, num_inference_steps=STEPS), image)
    assert again == (family not in CROSSING)


def test_guidance_in_two_calls_is_kept_apart() -> None:
    """Diffusers counts calls, so that every second one, the negative prompt's, gets the prompt's attention."""
    pipe, given = fresh("flux"), {"num_inference_steps": 5, "negative_prompt": "a bird", "true_cfg_scale": 3.0}
    baseline = outputs(pipe, **given)
    with apply(pipe, "pyramid_attention(self_interval=2,first_step=1)"):
        found = outputs(pipe, **given)
        alone = outputs(pipe, num_inference_steps=5)
    assert torch.equal(found[0], alone[0]) and torch.equal(found[1], baseline[1])
    assert not torch.equal(found[3], baseline[3])
    upstream(pipe, "flux", 0, 4)
    theirs = outputs(pipe, **given)
    assert torch.equal(theirs[0], baseline[0]) and not torch.equal(theirs[1], baseline[1])


def outputs(pipe: Any, **given: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    hook = denoiser_of(pipe).register_forward_hook(lambda *call: found.append(call[2][0]))
    latents(pipe, **given)
    hook.remove()
    return found


def test_a_step_of_two_calls_is_one_step() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    with counting(pipe.unet) as plain:
        latents(pipe, num_inference_steps=1)
    plan = "pyramid_attention(self_interval=2,cross_interval=3,first_step=1)"
    with apply(pipe, plan), counting(pipe.unet) as counts:
        latents(pipe, num_inference_steps=5)
    # Steps of two calls, but the last: 0 1 2 3 4, of which self runs at 0, 2, 4 and cross at 0 and 3.
    assert counts["self_attention"] == plain["self_attention"] * (2 + 2 + 1)
    assert counts["cross_attention"] == plain["cross_attention"] * (2 + 2)


def test_all_attentions_run_anew_where_another_method_changes_the_batch() -> None:
    pipe = shared("sd")
    plan = Plan.parse(
        "guidance_cutoff(cutoff_step=3)+pyramid_attention(self_interval=4,cross_interval=4,first_step=1)"
    )
    steps = work(plan, pipe, 6)
    assert [step.self_attention for step in steps] == [1, 0, 0, 1, 1, 0]
    assert [step.cross_attention for step in steps] == [1, 0, 0, 1, 1, 0]


def test_without_cross_attention_there_is_no_interval_of_it() -> None:
    with pytest.raises(ParameterError, match="cross_interval is 2: allowed is an integer, 1 to 1"):
        apply(shared("flux"), "pyramid_attention(cross_interval=2)")


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ("Make SD1.5 faster with Pyramid Attention Broadcast (self_interval 2)", {"self_interval": 2}),
        ("Make SD3 faster with PAB, first step 4", {"first_step": 4}),
        ("用金字塔注意力广播（cross_interval为3）加速SD1.5流水线", {"cross_interval": 3}),
    ],
)
def test_requests_name_it(words: str, parameters: dict[str, int]) -> None:
    task = parse(words)
    assert task.methods == ("pyramid_attention",)
    assert task.parameters == {"pyramid_attention": parameters}
