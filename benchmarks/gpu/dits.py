"""PixArt-Sigma, Stable Diffusion 3.5 medium and FLUX.1-dev of true size, from their published configurations.

Their text encoders (T5 XXL above all) are left out: each call is given random text states of the true shapes.
"""

from __future__ import annotations

from typing import Any

from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)

from .subjects import Maker, Subject
from .unets import PIXELS, vae_of

NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False, "latent_channels": 16, "sample_size": 1024}
LATENTS, TINY_LATENTS = 128, 16
"""A side."""

PIXART = {
    "sample_size": LATENTS,
    "num_layers": 28,
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "cross_attention_dim": 1152,
    "caption_channels": 4096,
    "interpolation_scale": 2,
    "use_additional_conditions": False,
}
TINY_PIXART = {
    "sample_size": TINY_LATENTS,
    "num_layers": 2,
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "caption_channels": 32,
}
SD35 = {
    "sample_size": LATENTS,
    "num_layers": 24,
    "num_attention_heads": 24,
    "attention_head_dim": 64,
    "in_channels": 16,
    "out_channels": 16,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
TINY_SD35 = {
    "sample_size": TINY_LATENTS,
    "num_layers": 2,
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "joint_attention_dim": 32,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 32,
    "pos_embed_max_size": 24,
    "dual_attention_layers": (0,),
}
FLUX = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
TINY_FLUX = {
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 32,
    "pooled_projection_dim": 32,
    "axes_dims_rope": (4, 6, 6),
}


def pixart_sigma(make: Maker) -> Subject:
    """PixArt-Sigma XL, 1024 pixels: 28 blocks of width 1152, 300 tokens of text, DPM-Solver++."""
    config = {**PIXART, **(TINY_PIXART if make.tiny else {})}
    text, mask = (300, config["caption_channels"]), (300,)
    pipe = PixArtSigmaPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=vae_of(make, latent_channels=4, scaling_factor=0.13025, sample_size=1024),
        transformer=make(PixArtTransformer2DModel, **config),
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
    )
    states = make.states(
        prompt_embeds=text,
        prompt_attention_mask=mask,
        negative_prompt_embeds=text,
        negative_prompt_attention_mask=mask,
    )
    return Subject("PixArt-sigma", pipe, _side(make), 4.5, states)


def sd35_medium(make: Maker) -> Subject:
    """Stable Diffusion 3.5 medium, 1024 pixels: 24 blocks of width 1536, 13 with two attentions, 333 tokens."""
    config = {**SD35, **(TINY_SD35 if make.tiny else {})}
    text, pooled = (333, config["joint_attention_dim"]), (config["pooled_projection_dim"],)
    pipe = StableDiffusion3Pipeline(
        vae=vae_of(make, **NO_QUANT, scaling_factor=1.5305, shift_factor=0.0609),
        transformer=make(SD3Transformer2DModel, **config),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **_no_text(3),
    )
    states = make.states(
        prompt_embeds=text,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=text,
        negative_pooled_prompt_embeds=pooled,
    )
    return Subject("SD3.5-medium", pipe, _side(make), 4.5, states)


def flux_dev(make: Maker) -> Subject:
    """FLUX.1-dev, 1024 pixels: 19 double and 38 single blocks of width 3072, 512 tokens; guidance is an input."""
    config = {**FLUX, **(TINY_FLUX if make.tiny else {})}
    pipe = FluxPipeline(
        vae=vae_of(make, **NO_QUANT, scaling_factor=0.3611, shift_factor=0.1159),
        transformer=make(FluxTransformer2DModel, **config),
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=1.15,
            base_image_seq_len=256,
            max_image_seq_len=4096,
        ),
        **_no_text(2),
    )
    states = make.states(
        prompt_embeds=(512, config["joint_attention_dim"]), pooled_prompt_embeds=(config["pooled_projection_dim"],)
    )
    return Subject("FLUX.1-dev", pipe, _side(make), 3.5, states)


def _side(make: Maker) -> int:
    return PIXELS * (TINY_LATENTS if make.tiny else LATENTS)


def _no_text(count: int) -> dict[str, Any]:
    """None for so many text encoders and tokenizers."""
    ends = ("", *(f"_{i}" for i in range(2, count + 1)))
    return {f"{part}{end}": None for part in ("text_encoder", "tokenizer") for end in ends}


DITS = {"PixArt-sigma": pixart_sigma, "SD3.5-medium": sd35_medium, "FLUX.1-dev": flux_dev}
BFLOAT16 = ("SD3.5-medium", "FLUX.1-dev")
"""Published in it."""
