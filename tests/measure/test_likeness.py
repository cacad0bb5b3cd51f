"""Pipelines without a family of their own are measured where their denoiser is known, and refused otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
)
from tests.support.tiny_clip import tiny_clip

import hasten
from hasten.errors import InputError, UnsupportedError
from hasten.measure.pipeline import Pipeline, image_seed, known_family
from hasten.measure.prompts import load
from hasten.measure.setting import setting_of
from hasten.plan import Plan
from hasten.schedulers import find_scheduler
from hasten.testing.pipelines import tiny_sd


def other(kind: type) -> object:
    """A pipeline of that class with tiny_sd's parts."""
    return kind(**tiny_sd().components, requires_safety_checker=False)


@pytest.mark.parametrize("kind", [StableDiffusionPAGPipeline, StableDiffusionSAGPipeline])
def test_it_draws_what_its_prompts_draw(kind: type, words: Path) -> None:
    pipe = other(kind)
    pipeline = Pipeline(pipe, setting_of(pipe, steps=2, height=128, width=128), load(words))
    assert pipeline.family.pipeline == kind.__name__ and pipeline.family.half_dtype == "float16"
    drawn = pipeline.draw(Plan(), "held-out", [0, 1])
    called = pipe(
        [pipeline.prompt("held-out", i) for i in (0, 1)],
        num_inference_steps=2,
        guidance_scale=7.5,
        height=128,
        width=128,
        generator=[torch.Generator().manual_seed(image_seed(0, "held-out", i)) for i in (0, 1)],
        output_type="pt",
    ).images
    assert int((drawn.int() - (called * 255).round().int()).abs().max()) <= 1


@pytest.mark.full  # what it is measured by is above
def test_it_is_tuned(words: Path, tmp_path: Path, own_surroundings: None) -> None:
    pipe, scorer = other(StableDiffusionPAGPipeline), str(tiny_clip(tmp_path / "clip"))
    how = {"prompts": str(words), "scorer": scorer, "storage": "memory", "num_samples": 8, "pairs": 1}
    answer = hasten.tune(pipe, steps=2, methods=["tome"], max_loss={"ssim": 1.0}, max_trials=1, **how)
    assert answer.status in ("met", "likely", "infeasible", "undecided") and answer.trials == 1
    reads = hasten.tune(other(StableDiffusionSAGPipeline), steps=2, methods=["tome"], max_trials=1, **how)
    assert reads.status == "failed" and "reads what the attentions" in reads.reason
    pipe.scheduler = find_scheduler("FlowMatchEuler").build({})
    with pytest.raises(UnsupportedError, match=r"StableDiffusionPAGPipeline cannot .* FlowMatchEuler"):
        hasten.tune(pipe, steps=2, **how)


def test_from_an_image_it_is_not_measured() -> None:
    with pytest.raises(
        InputError, match=r"StableDiffusionImg2ImgPipeline.*from text to images.*FluxTransformer2D"
    ):
        known_family(other(StableDiffusionImg2ImgPipeline))


def test_a_family_of_its_own_goes_before() -> None:
    assert known_family(other(StableDiffusionPipeline)).name == "stable_diffusion"
