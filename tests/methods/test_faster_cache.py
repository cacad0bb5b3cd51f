"""FasterCache beside diffusers' own, where that one is right, and what it makes the unconditional half of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FasterCacheConfig, HeunDiscreteScheduler, apply_faster_cache

from hasten.denoisers import denoiser_of, timestep_of
from hasten.language.parse import parse
from hasten.methods import apply
from hasten.testing.generating import counting, fresh, latents, shared

STEPS, FIRST, HIGH = 9, 2, 6
WINDOW = f"first_step={FIRST},high_frequency_step={HIGH}"
HALVED = ("hidden_states", "encoder_hidden_states", "timestep", "encoder_attention_mask")


def upstream(pipe: Any, both: int, attention: int, low: float = 1.1, halved: tuple[str, ...] = HALVED) -> None:
    """Puts diffusers' own on a pipeline that has drawn once, over the same steps."""
    now: list[float] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        now[:] = [float(timestep_of(module, args, kwargs).flatten()[0])]

    denoiser_of(pipe).register_forward_pre_hook(look, with_kwargs=True)
    first, high = (float(pipe.scheduler.timesteps[step]) + 0.01 for step in (FIRST, HIGH))
    config = FasterCacheConfig(
        unconditional_batch_skip_range=both,
        unconditional_batch_timestep_skip_range=(-1, first),
        spatial_attention_block_skip_range=attention,
        spatial_attention_timestep_skip_range=(-1, first),
        attention_weight_callback=lambda _: 0.5,
        alpha_low_frequency=low,
        low_frequency_weight_update_timestep_range=(high, 2000),
        high_frequency_weight_update_timestep_range=(-1, high),
        tensor_format="BCHW",
        current_timestep_callback=lambda: now[0],
        _unconditional_conditional_input_kwargs_identifiers=halved,
    )
    apply_faster_cache(denoiser_of(pipe), config)


@pytest.mark.parametrize(("both", "attention", "low"), [(5, 2, 1.1), (4, 1, 1.1), (5, 3, 1.4)])
@pytest.mark.parametrize("family", ["pixart", "sd3"])
def test_it_draws_what_diffusers_draws(family: str, both: int, attention: int, low: float) -> None:
    pipe, intervals = fresh(family), f"unconditional_interval={both},attention_interval={attention}"
    with apply(pipe, f"faster_cache({intervals},{WINDOW},alpha_low_frequency={low})", STEPS):
        image = latents(pipe, num_inference_steps=STEPS)
    upstream(pipe, both, attention, low, (*HALVED, "pooled_projections"))
    assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)


@pytest.mark.parametrize(("family", "message"), [("sd3", "must match the size"), ("sd", "chunk")])
def test_diffusers_own_fails_where_it_halves_too_little_or_too_much(family: str, message: str) -> None:
    """By its defaults SD3's pooled text keeps both halves; of a UNet's arguments it halves the timestep too."""
    pipe = fresh(family)
    with apply(pipe, f"faster_cache(unconditional_interval=4,attention_interval=1,{WINDOW})", STEPS):
        assert torch.isfinite(latents(pipe, num_inference_steps=STEPS)).all()
    upstream(pipe, 4, 1)
    with pytest.raises(RuntimeError, match=message):
        latents(pipe, num_inference_steps=STEPS)


def outputs(pipe: Any, **given: Any) -> list[torch.Tensor]:
    """What the denoiser gave at each call."""
    found: list[torch.Tensor] = []
    hook = denoiser_of(pipe).register_forward_hook(lambda *call: found.append(call[2][0]))
    latents(pipe, **given)
    hook.remove()
    return found


PLAIN = "attention_interval=1,alpha_low_frequency=1.0,alpha_high_frequency=1.0"


def test_unscaled_the_halves_keep_their_difference() -> None:
    pipe = shared("sd")
    with apply(pipe, f"faster_cache(unconditional_interval=3,first_step=1,{PLAIN})"):
        found = outputs(pipe, num_inference_steps=6)
    between = [a - b for a, b in (output.chunk(2) for output in found)]
    for step, last in ((1, 0), (2, 0), (4, 3), (5, 3)):
        torch.testing.assert_close(between[step], between[last], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(between[3], between[0], rtol=1e-3, atol=1e-4)


def test_a_scheduler_with_two_calls_a_step_has_two_differences() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    with apply(pipe, f"faster_cache(unconditional_interval=2,first_step=1,{PLAIN})"):
        between = [a - b for a, b in (output.chunk(2) for output in outputs(pipe, num_inference_steps=4))]
    for call, last in ((2, 0), (3, 1), (6, 4)):
        torch.testing.assert_close(between[call], between[last], rtol=1e-3, atol=1e-4)


def test_several_images_keep_their_own_prompts() -> None:
    pipe, prompts = shared("sd"), ["a cat", "a dog", "a bird"]
    with apply(pipe, "faster_cache(unconditional_interval=3,attention_interval=2,first_step=1)"):
        together = latents(pipe, num_inference_steps=5, prompt=prompts)
        alone = [latents(pipe, num_inference_steps=5, prompt=p, seed=i) for i, p in enumerate(prompts)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)


def test_a_run_without_guidance_is_left_alone() -> None:
    pipe, given = shared("sd"), {"guidance_scale": 1.0, "prompt": ["a dog", "a cat"]}
    image = latents(pipe, **given)
    with counting(pipe.unet) as plain:
        latents(pipe, **given)
    with apply(pipe, "faster_cache(first_step=1)"), counting(pipe.unet) as counts:
        assert torch.equal(latents(pipe, **given), image)
    assert counts == plain


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ("Make SD1.5 faster with FasterCache (unconditional_interval 3)", {"unconditional_interval": 3}),
        ("用FasterCache（attention_interval为3）加速SD1.5流水线", {"attention_interval": 3}),
    ],
)
def test_requests_name_it(words: str, parameters: dict[str, int]) -> None:
    task = parse(words)
    assert task.methods == ("faster_cache",)
    assert task.parameters == {"faster_cache": parameters}
