"""The heart of the contract on trained models of SDXL's, PixArt's and SD3's kind, at their own size."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import pytest
import torch
from tests.contracts.expected import LARGEST, SUPPORTED, Names, effective, neutral
from tests.support.marks import rarely

from hasten.denoisers import denoiser_of
from hasten.methods import METHODS, apply
from hasten.models import load_pipeline
from hasten.testing.generating import attributes, counting, latents

STEPS = 4
MODELS = {"emoji-sdxl": "sdxl", "emoji-pixart": "pixart", "emoji-sd3": "sd3"}
CASES = [
    (model, names)
    for model, family in MODELS.items()
    for names in sorted({*((name,) for name in SUPPORTED[family]), *LARGEST[family]})
]


OFTEN = [(model, max(LARGEST[family], key=len)) for model, family in MODELS.items()]
"""What ``make test`` runs: each method alone is tried on small pipelines of the same classes."""


@lru_cache
def loaded(model: str) -> Any:
    return load_pipeline(model)


def drawn(pipe: Any) -> torch.Tensor:
    return latents(pipe, height=128, width=128)


@lru_cache
def plainly(model: str) -> tuple[torch.Tensor, Counter[str]]:
    """The baseline's latents, and its counted work."""
    with counting(denoiser_of(loaded(model))) as counts:
        return drawn(loaded(model)), counts


@pytest.mark.parametrize(
    ("model", "names"),
    [pytest.param(m, n, id=f"{m}-{'+'.join(n)}", marks=rarely((m, n) not in OFTEN)) for m, n in CASES],
)
def test_methods_go_on_work_and_come_off(model: str, names: Names) -> None:
    pipe = loaded(model)
    baseline, plain = plainly(model)
    before = attributes(pipe)
    with apply(pipe, effective(names), STEPS):
        with counting(denoiser_of(pipe)) as counts:
            first = drawn(pipe)
        assert torch.equal(drawn(pipe), first)
    cuts = any(METHODS.get(name).cuts_work for name in names)
    assert torch.isfinite(first).all()
    assert not (cuts and torch.equal(first, baseline))
    assert any(counts[kind] < plain[kind] for kind in plain) == cuts
    assert attributes(pipe) == before, "something is left on the denoiser"
    with apply(pipe, neutral(names, pipe, STEPS), STEPS):
        assert torch.equal(drawn(pipe), baseline), "with neutral parameters, or by what is left"
    assert attributes(pipe) == before, "something is left on the denoiser"
