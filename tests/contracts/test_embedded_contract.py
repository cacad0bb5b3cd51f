"""The heart of the contract on a trained model of SDXL's kind, at its own size and with its one layer a block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.contracts.expected import LARGEST, NAMES, effective, neutral
from tests.generating import attributes, counting, latents

from hasten.methods import apply
from hasten.models import load_pipeline

STEPS = 4
METHODS = sorted({*((name,) for name in NAMES), *LARGEST})


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load_pipeline("emoji-sdxl")


@pytest.mark.parametrize("names", METHODS, ids="+".join)
def test_methods_go_on_work_and_come_off(pipe: Any, names: tuple[str, ...]) -> None:
    before = attributes(pipe)
    with counting(pipe.unet) as plain:
        baseline = latents(pipe)
    with apply(pipe, neutral(names, pipe, STEPS), STEPS):
        assert torch.equal(latents(pipe), baseline)
    with apply(pipe, effective(names), STEPS):
        with counting(pipe.unet) as counts:
            first = latents(pipe)
        assert torch.equal(latents(pipe), first)
    assert torch.isfinite(first).all() and not torch.equal(first, baseline)
    assert any(counts[kind] < plain[kind] for kind in plain)
    assert attributes(pipe) == before, "something is left on the denoiser"
    assert torch.equal(latents(pipe), baseline)
