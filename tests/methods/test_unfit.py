"""What is said of a method on a family without its weights is what a real pipeline of the family says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hasten.denoisers import denoiser_of
from hasten.methods import METHODS, unfit
from hasten.methods._extra import missing
from hasten.models import FAMILIES, family_of
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd, tiny_sd3, tiny_sdxl


@pytest.mark.parametrize("make", [tiny_sd, tiny_sdxl, tiny_pixart, tiny_sd3, tiny_flux])
def test_the_classes_alone_decide_as_the_pipeline_does(make: Callable[[], Any]) -> None:
    pipe = make()
    family = family_of(pipe)
    assert family is not None
    assert type(denoiser_of(pipe)).__name__ == family.denoiser_class
    for method in METHODS.all():
        reason = unfit(method, family)
        found, absent = method.unsupported(pipe), missing(method.packages, method.name)
        if method.device and "the pipeline is on the cpu" in str(found):
            found = None
        assert (reason is None) == (found is None or found == absent), (method.name, reason)
        assert reason is None or family.denoiser_class in reason or family.pipeline in reason


def test_families_of_one_pipeline_class_have_one_denoiser() -> None:
    assert all(f.denoiser_class.startswith("UNet") == (f.denoiser == "unet") for f in FAMILIES.all())
