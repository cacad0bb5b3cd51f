"""Stable Diffusion XL base, and the embedded emoji-sdxl, which takes the same path."""

from __future__ import annotations

from hasten.models.base import Family, Model
from hasten.models.stable_diffusion import VIT_G_14

FAMILY = Family(
    name="stable_diffusion_xl",
    title="Stable Diffusion XL",
    pipeline="StableDiffusionXLPipeline",
    denoiser="unet",
    denoiser_class="UNet2DConditionModel",
    text_states=(
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
    models=(
        Model(
            name="SDXL",
            source="stabilityai/stable-diffusion-xl-base-1.0",
            resolution=1024,
            guidance_scale=5.0,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="Euler",
            aliases=(
                "sd xl",
                "sdxl base",
                "sdxl 1.0",
                "sdxl base 1.0",
                "sdxl 1.0 base",
                "stable diffusion xl 1.0",
                "stable diffusion xl base 1.0",
                "stable diffusion xl",
            ),
        ),
        Model(
            name="emoji-sdxl",
            source="emoji-sdxl",
            resolution=128,
            guidance_scale=2.0,
            scorer="emoji-clip",
            prompts="emoji",
            scheduler="DDIM",
            steps=25,
            aliases=("emoji sd xl",),
            embedded=True,
        ),
    ),
)
