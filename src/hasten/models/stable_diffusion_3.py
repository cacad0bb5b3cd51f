"""Stable Diffusion 3, 3.5 and the embedded emoji-sd3: transformers over image and text, with flow matching."""

from __future__ import annotations

from hasten.models.base import Family, Model
from hasten.models.pixart_alpha import PACKAGES
from hasten.models.stable_diffusion import VIT_G_14

FAMILY = Family(
    name="stable_diffusion_3",
    title="Stable Diffusion 3",
    pipeline="StableDiffusion3Pipeline",
    denoiser="transformer",
    denoiser_class="SD3Transformer2DModel",
    schedulers=("FlowMatchEuler", "FlowMatchHeun"),
    text_states=(
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
    half_dtype="bfloat16",
    packages=PACKAGES,
    models=(
        Model(
            name="SD3",
            source="stabilityai/stable-diffusion-3-medium-diffusers",
            resolution=1024,
            guidance_scale=7.0,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="FlowMatchEuler",
            steps=28,
            aliases=(
                "sd 3",
                "sd3 medium",
                "stable diffusion 3",
                "stable diffusion v3",
                "stable diffusion 3 medium",
            ),
        ),
        Model(
            name="SD3.5-medium",
            source="stabilityai/stable-diffusion-3.5-medium",
            resolution=1024,
            guidance_scale=4.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="FlowMatchEuler",
            steps=40,
            aliases=("sd35", "sd 3.5", "sd3.5", "sd35 medium", "stable diffusion 3.5", "stable diffusion v3.5"),
        ),
        Model(
            name="SD3.5-large",
            source="stabilityai/stable-diffusion-3.5-large",
            resolution=1024,
            guidance_scale=3.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="FlowMatchEuler",
            steps=28,
            aliases=("sd35 large", "sd 3.5 large"),
        ),
        Model(
            name="emoji-sd3",
            source="emoji-sd3",
            resolution=128,
            guidance_scale=2.0,
            scorer="emoji-clip",
            prompts="emoji",
            scheduler="FlowMatchEuler",
            steps=25,
            aliases=("emoji sd 3",),
            embedded=True,
            # Its tokenizers cut texts at this length. The pipeline would pad to 256 tokens, as many as the image
            # has.
            call={"max_sequence_length": 32},
        ),
    ),
)
