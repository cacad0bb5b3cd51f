"""A class of denoisers that hasten does not know becomes known to every method by one declaration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

from hasten.denoisers import Denoiser, Stack, declaration_of, declared, denoiser_of, denoisers, is_joint
from hasten.errors import UnsupportedError
from hasten.methods import METHODS, apply
from hasten.testing.generating import attributes, latents
from hasten.testing.pipelines import tiny_t5, tiny_t5_tokenizer, tiny_vae

COGVIEW = Denoiser(
    "CogView3PlusTransformer2DModel",
    guidance="batch",
    stacks=(Stack("transformer_blocks", gives=("image", "text")),),
    joint=True,
    attentions=("attn1",),
)
"""All that is said of it. Its blocks give the image's tokens before the text's, as no known class does."""
PLANS = {
    "faster_cache": "faster_cache(first_step=1)",
    "first_block_cache": "first_block_cache(threshold=1.0)",
    "guidance_cutoff": "guidance_cutoff(cutoff_step=2)",
    "magcache": "magcache(first_step=2,threshold=1.0)",
    "pyramid_attention": "pyramid_attention(first_step=1)",
    "taylorseer": "taylorseer(cache_interval=2,disable_cache_before_step=1)",
}
CALL = {"height": 32, "width": 32, "max_sequence_length": 16, "num_inference_steps": 5}
"""Five steps over 16×16 latents."""


@pytest.fixture(scope="module")
def pipe() -> CogView3PlusPipeline:
    torch.manual_seed(0)
    tokenizer = tiny_t5_tokenizer()
    transformer = CogView3PlusTransformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=4,
        attention_head_dim=8,
        num_attention_heads=2,
        out_channels=4,
        text_embed_dim=32,
        time_embed_dim=8,
        condition_dim=2,
        pos_embed_max_size=16,
        sample_size=16,
    ).eval()
    made = CogView3PlusPipeline(
        tokenizer=tokenizer,
        text_encoder=tiny_t5(len(tokenizer)),
        vae=tiny_vae(),
        transformer=transformer,
        scheduler=CogVideoXDDIMScheduler(),
    )
    made.set_progress_bar_config(disable=True)
    latents(made, **CALL)  # at its first call diffusers hangs a registry of hooks on the transformer
    return made


def runs_of(pipe: Any) -> tuple[torch.Tensor, int]:
    """The latents of a call, and how often the last block computed its feed-forward."""
    calls: list[None] = []
    hook = pipe.transformer.transformer_blocks[-1].ff.register_forward_pre_hook(lambda *_: calls.append(None))
    try:
        return latents(pipe, **CALL), len(calls)
    finally:
        hook.remove()


@pytest.mark.parametrize("name", PLANS)
def test_one_declaration_makes_every_cache_run_on_it(pipe: Any, name: str) -> None:
    title, before = METHODS.get(name).title, attributes(pipe)
    with pytest.raises(UnsupportedError, match=f"a CogView3PlusTransformer2DModel: {title} needs a "):
        apply(pipe, PLANS[name])
    plain, full_calls = runs_of(pipe)
    with declared(COGVIEW):
        with apply(pipe, PLANS[name], steps=5) as handle:
            image, calls = runs_of(pipe)
            assert torch.equal(latents(pipe, **CALL), image)
        stats = handle.stats[name]
        assert torch.isfinite(image).all() and not torch.equal(image, plain)
        assert 0 < stats.full < stats.steps == 10 and stats.runs_without_effect == 0
        if name in ("first_block_cache", "magcache", "taylorseer"):
            assert 0 < calls < full_calls == 5
        neutral = METHODS.get(name).neutral(pipe, 5)
        assert neutral is not None
        with apply(pipe, {name: neutral}, steps=5):
            assert torch.equal(latents(pipe, **CALL), plain), "blocks that run pass both streams on as they are"
    assert attributes(pipe) == before
    with pytest.raises(UnsupportedError):
        apply(pipe, PLANS[name])


def test_what_the_declaration_leaves_out_is_refused(pipe: Any) -> None:
    with declared(COGVIEW):
        assert is_joint(denoiser_of(pipe)) and declaration_of(denoiser_of(pipe)) is COGVIEW
        with pytest.raises(UnsupportedError, match="T-GATE needs a UNet2DConditionModel or PixArt"):
            apply(pipe, "tgate(gate_step=2)")
        with pytest.raises(UnsupportedError, match="does not go through diffusers' dispatcher"):
            apply(pipe, "attention_backend(backend=_native_math)")
        with pytest.raises(UnsupportedError, match="has no unet: DeepCache needs"):
            apply(pipe, "deepcache")


def test_an_embedded_guidance_has_no_half_to_drop(pipe: Any) -> None:
    embedded = replace(COGVIEW, guidance="embedded")
    with declared(embedded), pytest.raises(UnsupportedError, match="Guidance cutoff needs a UNet2DConditionModel"):
        apply(pipe, PLANS["guidance_cutoff"])


def test_a_subclass_is_known_by_the_nearest_class_above_it() -> None:
    class Tuned(CogView3PlusTransformer2DModel):
        """Somebody's own."""

    thing = Tuned.__new__(Tuned)
    assert declaration_of(thing) is None
    other = Denoiser("Tuned", guidance="embedded")
    with declared(COGVIEW):
        assert declaration_of(thing) is COGVIEW
        with declared(other):
            assert declaration_of(thing) is other


def test_a_later_declaration_replaces_the_earlier_one_and_the_earlier_is_back_afterwards() -> None:
    before = denoisers()
    changed = Denoiser("FluxTransformer2DModel", guidance="batch")
    with declared(changed):
        assert [d for d in denoisers() if d.class_name == "FluxTransformer2DModel"] == [changed]
    assert denoisers() == before
