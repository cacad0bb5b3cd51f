"""Settings that do not fit how a model was distilled: each has its note, and what fits has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    UNet2DConditionModel,
)
from tests.support.examples import answer_of, setting_of

from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.measure.distilled import distillation_of, of_weights
from hasten.metrics import ClipScorer
from hasten.models import find_model
from hasten.plan import Plan
from hasten.task import Setting
from hasten.testing.pipelines import tiny_flux, tiny_sd
from hasten.workflow.answers import warnings

LIGHTNING = "ByteDance/SDXL-Lightning"


def called(name: str, scheduler: Any = None, pipe: Any = None) -> Any:
    """A pipeline as if it had been loaded from there."""
    pipe = pipe or tiny_sd()
    pipe.register_to_config(_name_or_path=name)
    pipe.scheduler = scheduler or pipe.scheduler
    return pipe


def setting(scheduler: str = "Euler", steps: int = 4, guidance_scale: float = 0.0) -> Setting:
    return setting_of(find_model("SD1.5")[1], scheduler, steps, guidance_scale=guidance_scale)


def notes(pipe: Any, asked: Setting) -> list[str]:
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    return list(of_weights(pipe, denoiser, asked))


def latent_consistency() -> Any:
    pipe = tiny_sd()
    torch.manual_seed(0)
    config = {name: value for name, value in pipe.unet.config.items() if name != "_use_default_values"}
    unet = UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 8}).eval()
    parts = {**pipe.components, "unet": unet, "scheduler": LCMScheduler()}
    return LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def test_the_lcm_scheduler_on_weights_that_were_not_distilled_for_it() -> None:
    (note,) = notes(called("runwayml/stable-diffusion-v1-5", LCMScheduler()), setting("LCM"))
    assert "SD1.5 shows no sign of either" in note and "Name another scheduler" in note


@pytest.mark.parametrize("kind", ["named", "embedded", "adapter"])
def test_the_lcm_scheduler_where_it_belongs(kind: str) -> None:
    pipe = latent_consistency() if kind == "embedded" else called("SimianLuo/LCM_Dreamshaper_v7", LCMScheduler())
    if kind == "adapter":
        pipe = called("runwayml/stable-diffusion-v1-5", LCMScheduler())
        pipe.unet.peft_config = {"default_0": object()}  # what loading any LoRA leaves on the denoiser
    assert notes(pipe, setting("LCM", guidance_scale=8.0)) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (LIGHTNING, "Lightning"),
        ("stabilityai/sdxl-turbo", "Turbo"),
        ("stabilityai/stable-diffusion-3.5-large-turbo", "Turbo"),
        ("/models/my_lightning_mix", "Lightning"),
        ("/cache/hub/models--stabilityai--sd-turbo/snapshots/b261bac6fd2cf515557d5d0707481eafa0485ec2", "Turbo"),
        ("black-forest-labs/FLUX.1-schnell", "schnell"),
        ("ByteDance/Hyper-SD", "Hyper-SD"),
    ],
)
def test_distilled_weights_are_known_by_their_name(name: str, kind: str) -> None:
    pipe = called(name)
    found = distillation_of(pipe, pipe.unet)
    assert found is not None and found.title == kind
    (note,) = (n for n in notes(pipe, setting(steps=50)) if "steps at most" in n)
    assert f"({kind})" in note and f"for {found.most_steps} steps" in note and "takes 50" in note


@pytest.mark.parametrize(
    "name", ["stabilityai/sdxl-base-1.0", "/home/lightning/turbo-models/sd15", "emoji-sd", "", "turbolence/sd"]
)
def test_other_names_are_no_sign(name: str) -> None:
    pipe = called(name)
    assert distillation_of(pipe, pipe.unet) is None
    assert notes(pipe, setting(steps=50, guidance_scale=7.5)) == []


def test_lightning_with_guidance_and_the_wrong_spacing() -> None:
    found = notes(called(LIGHTNING, DDIMScheduler(timestep_spacing="leading")), setting("DDIM", 4, 7.5))
    assert len(found) == 2
    assert "guidance scale is 7.5" in found[0] and "'trailing', and that of DDIM is 'leading'" in found[1]
    right = EulerDiscreteScheduler(timestep_spacing="trailing")
    assert notes(called(LIGHTNING, right), setting("Euler", 4, 1.0)) == []


def test_schnell_as_it_is_run() -> None:
    assert (
        notes(called("black-forest-labs/FLUX.1-schnell", pipe=tiny_flux()), setting("FlowMatchEuler", 4, 3.5))
        == []
    )


def test_the_note_is_in_the_answer(scorer: ClipScorer, words: Path) -> None:
    pipe = called("runwayml/stable-diffusion-v1-5", LCMScheduler())
    bench = Bench.of(pipe, steps=4, height=64, width=64, scorer=scorer, prompts=words)
    trial = bench.trial(Plan.parse("deepcache(cache_interval=2)"), TrialSpec(samples=2, pairs=1))
    told = warnings(answer_of(trial.plan).task, trial, None)
    assert [note for note in told if "The LCM scheduler is made for weights" in note]
