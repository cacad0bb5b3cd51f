"""Which scheduler fits which models, and that each that is named is the one that draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hasten.errors import UnsupportedError
from hasten.measure.setting import scheduler_name
from hasten.models import FAMILIES, Model, find_model
from hasten.schedulers import SCHEDULERS, find_scheduler, scheduler_names
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd, tiny_sd3, tiny_sdxl
from hasten.workflow.opening import check_scheduler

FAMILY_OF: dict[str, Callable[[], Any]] = {
    "stable_diffusion": tiny_sd,
    "stable_diffusion_xl": tiny_sdxl,
    "stable_diffusion_3": tiny_sd3,
    "flux": tiny_flux,
    "pixart_sigma": tiny_pixart,
}


@pytest.mark.parametrize("name", FAMILY_OF)
def test_every_scheduler_that_fits_draws_and_keeps_its_name(name: str) -> None:
    """No two of them the same latents, and what is on the pipeline is told by its canonical name."""
    pipe, family, drawn = FAMILY_OF[name](), FAMILIES.get(name), []
    usual = pipe.scheduler
    for fitting in family.fitting:
        pipe.scheduler = find_scheduler(fitting).build(usual.config)
        assert scheduler_name(pipe.scheduler) == fitting
        generator = torch.Generator().manual_seed(0)
        size = {"height": 64, "width": 64, "num_inference_steps": 4, **family.call}
        found = pipe("a dog", generator=generator, output_type="latent", **size).images
        assert torch.isfinite(found).all(), fitting
        assert not any(torch.equal(found, other) for other in drawn), fitting
        drawn.append(found)


def test_settings_tell_schedulers_of_one_class_apart() -> None:
    config = tiny_sd().scheduler.config
    plain = find_scheduler("DPMSolverMultistepScheduler")
    assert plain.name == "DPM-Solver++"
    for name in ("DPM-Solver++-SDE", "DPM-Solver++-Karras", "DPM-Solver++-SDE-Karras"):
        variant = find_scheduler(name).build(config)
        assert scheduler_name(variant) == name
        assert scheduler_name(plain.build(variant.config)) == "DPM-Solver++"
    other = type(plain.build(config)).from_config(
        config, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"
    )
    assert scheduler_name(other) == "DPMSolverMultistepScheduler"


def test_every_scheduler_has_one_identifier() -> None:
    assert len({s.identifier for s in SCHEDULERS}) == len(SCHEDULERS)
    assert [find_scheduler(s.identifier).name for s in SCHEDULERS] == list(scheduler_names())


@pytest.mark.parametrize(
    ("family", "scheduler", "reason"),
    [
        (
            "flux",
            "DDIM",
            "trained by flow matching, and DDIM is for those .* diffusion. It takes: FlowMatchEuler.",
        ),
        ("flux", "FlowMatchHeun", "FluxPipeline gives its scheduler what FlowMatchHeunDiscreteScheduler does not"),
        ("stable_diffusion_3", "UniPC", "trained by flow matching.*It takes: FlowMatchEuler, FlowMatchHeun."),
        ("stable_diffusion_xl", "FlowMatchEuler", "trained by diffusion, .* It takes: DDIM, .*LCM."),
        ("pixart_alpha", "FlowMatchHeun", "trained by diffusion"),
    ],
)
def test_a_scheduler_of_the_other_kind_is_refused_with_the_reason(
    family: str, scheduler: str, reason: str
) -> None:
    with pytest.raises(UnsupportedError, match=f"cannot be used with the scheduler {scheduler}: .*{reason}"):
        check_scheduler(FAMILIES.get(family), scheduler)


def test_what_is_refused_does_fail_in_diffusers() -> None:
    """FLUX's pipeline and the Heun of flow matching; a fault mended there is to be offered here."""
    pipe = tiny_flux()
    pipe.scheduler = find_scheduler("FlowMatchHeun").build(pipe.scheduler.config)
    with pytest.raises((TypeError, ValueError)):
        pipe("a dog", num_inference_steps=2, height=64, width=64, output_type="latent")


@pytest.mark.parametrize("model", [m for family in FAMILIES.all() for m in family.models], ids=lambda m: m.name)
def test_every_model_names_the_scheduler_of_its_own_pipeline_which_fits(model: Model) -> None:
    assert model.scheduler in find_model(model.name)[0].fitting
