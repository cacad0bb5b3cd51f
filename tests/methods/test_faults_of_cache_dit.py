"""Why cache-dit 1.5.3 is no method here: the contract that its caches do not keep. Skipped without the package."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from hasten.methods import apply
from hasten.testing.generating import attributes, beside, fresh, latents

cache_dit = pytest.importorskip("cache_dit")
EIGHT = {"num_inference_steps": 8}


def cached(family: str) -> Any:
    pipe = fresh(family)
    latents(pipe, num_inference_steps=1)
    config = cache_dit.DBCacheConfig(
        Fn_compute_blocks=1, Bn_compute_blocks=0, residual_diff_threshold=0.9, max_warmup_steps=2
    )
    cache_dit.enable_cache(pipe, cache_config=config)
    return pipe


@pytest.fixture(autouse=True)
def classes_as_they_were() -> Any:
    """It replaces the call of the pipeline's class, which a test may leave broken."""
    kinds = [type(fresh(family)) for family in ("pixart", "flux")]
    before = [dict(vars(kind)) for kind in kinds]
    yield
    for kind, known in zip(kinds, before, strict=True):
        for name in set(vars(kind)) - set(known):
            delattr(kind, name)
        kind.__call__ = known["__call__"]
    gc.collect()


def test_another_pipeline_on_the_transformer_goes_on_from_the_last_call() -> None:
    pipe = cached("pixart")
    other, given = beside(pipe)
    latents(pipe, **EIGHT)
    latents(fresh("pixart"), **EIGHT)  # not cached, but of the class
    first, second = (latents(other, **EIGHT, **given) for _ in range(2))
    assert not torch.equal(first, second)

    pipe = fresh("pixart")
    other, given = beside(pipe)
    with apply(pipe, "first_block_cache(threshold=0.9)"):
        latents(pipe, **EIGHT)
        first, second = (latents(other, **EIGHT, **given) for _ in range(2))
        assert torch.equal(first, second)


def test_taking_it_off_one_pipeline_breaks_all_of_its_class() -> None:
    one, other = cached("pixart"), cached("pixart")
    cache_dit.disable_cache(one)
    for pipe in (one, other):
        with pytest.raises(AttributeError, match="_context_manager"):
            latents(pipe, **EIGHT)


def test_on_flux_another_forward_stays_when_it_is_gone() -> None:
    plain = fresh("flux")
    latents(plain, num_inference_steps=1)
    pipe = cached("flux")
    cache_dit.disable_cache(pipe)
    assert attributes(pipe)[""].keys() - attributes(plain)[""].keys() >= {"_is_patched"}
    assert pipe.transformer.forward.__func__ is not type(pipe.transformer).forward
