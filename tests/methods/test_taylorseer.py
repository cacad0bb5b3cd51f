"""TaylorSeer beside diffusers' own, and what it forecasts from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import HeunDiscreteScheduler, TaylorSeerCacheConfig

from hasten.methods import apply
from hasten.testing.generating import counting, fresh, latents, shared

SERIES = (
    {"cache_interval": 3, "max_order": 1, "disable_cache_before_step": 3},
    {"cache_interval": 4, "max_order": 2, "disable_cache_before_step": 2},
    {"cache_interval": 2, "max_order": 0, "disable_cache_before_step": 1},
)


def plan(parameters: dict[str, int]) -> str:
    return f"taylorseer({','.join(f'{k}={v}' for k, v in parameters.items())})"


@pytest.mark.parametrize("parameters", SERIES, ids=str)
def test_it_draws_what_diffusers_lite_variant_draws(parameters: dict[str, int]) -> None:
    pipe = fresh("flux")
    with apply(pipe, plan(parameters)), counting(pipe.transformer) as counts:
        image = latents(pipe, num_inference_steps=9)
    assert 0 < counts["blocks"] < 9 * 6
    pipe.transformer.enable_cache(
        TaylorSeerCacheConfig(**parameters, use_lite_mode=True, taylor_factors_dtype=torch.float32)
    )
    assert torch.equal(latents(pipe, num_inference_steps=9), image)


def outputs(pipe: Any, **given: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    denoiser = getattr(pipe, "transformer", None) or pipe.unet
    hook = denoiser.register_forward_hook(lambda *call: found.append(call[2][0]))
    latents(pipe, **given)
    hook.remove()
    return found


def test_guidance_in_two_calls_has_two_series() -> None:
    pipe = shared("flux")
    with apply(pipe, "taylorseer(cache_interval=2,max_order=1,disable_cache_before_step=2)"):
        found = outputs(pipe, num_inference_steps=4, negative_prompt="a bird", true_cfg_scale=3.0)
    for first, second, third in (found[0:6:2], found[1:7:2]):  # step 2 is forecast
        assert torch.allclose(third, 2 * second - first, atol=1e-5)


def test_so_has_each_call_of_a_scheduler_with_two_a_step() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    with apply(pipe, "taylorseer(cache_interval=2,max_order=1,disable_cache_before_step=2)"):
        found = outputs(pipe, num_inference_steps=5)
    for first, second, third in (found[0:6:2], found[1:7:2]):
        assert torch.allclose(third, 2 * second - first, atol=1e-5)
