"""The flow-matching pipelines, small: they draw, the same by their seed, and heed the prompt and the guidance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hasten.testing.pipelines import tiny_flux, tiny_sd3

PIPELINES = {
    "sd3": tiny_sd3,
    "sd3.5": lambda: tiny_sd3(qk_norm="rms_norm", dual_attention_layers=(0, 1)),
    "flux-dev": tiny_flux,
    "flux-schnell": lambda: tiny_flux(guidance=False),
}


def latents(pipe: Any, prompt: str = "a dog", **given: Any) -> torch.Tensor:
    """Of 128×128 pixels."""
    size = {"height": 128, "width": 128, "max_sequence_length": 16, "num_inference_steps": 2}
    generator = torch.Generator().manual_seed(0)
    drawn: torch.Tensor = pipe(prompt, generator=generator, output_type="latent", **size, **given).images
    return drawn


@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES.keys())
def test_a_tiny_pipeline_draws_by_its_seed_and_its_prompt(make: Callable[[], Any]) -> None:
    pipe = make()
    drawn = latents(pipe)
    assert torch.isfinite(drawn).all()
    assert torch.equal(drawn, latents(make()))
    assert not torch.equal(drawn, latents(pipe, "a cat"))


def test_guidance_is_heard_where_the_model_takes_it() -> None:
    for make in (tiny_sd3, tiny_flux):
        pipe = make()
        assert not torch.equal(latents(pipe, guidance_scale=1.0), latents(pipe, guidance_scale=6.0))
    schnell = tiny_flux(guidance=False)
    assert torch.equal(latents(schnell, guidance_scale=0.0), latents(schnell, guidance_scale=6.0))
