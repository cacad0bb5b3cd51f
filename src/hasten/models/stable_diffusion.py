"""Stable Diffusion 1.x and 2.x, and the embedded emoji-sd, which takes the same path."""

from __future__ import annotations

from hasten.models.base import Family, Model

VIT_G_14 = "laion/CLIP-ViT-g-14-laion2B-s34B-b88K"

FAMILY = Family(
    name="stable_diffusion",
    title="Stable Diffusion",
    pipeline="StableDiffusionPipeline",
    denoiser="unet",
    denoiser_class="UNet2DConditionModel",
    models=(
        Model(
            name="SD1.5",
            source="stable-diffusion-v1-5/stable-diffusion-v1-5",
            resolution=512,
            guidance_scale=7.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="PNDM",
            aliases=(
                "sd15",
                "sd 1.5",
                "stable diffusion 1.5",
                "stable diffusion v1.5",
                "runwayml/stable-diffusion-v1-5",
            ),
        ),
        Model(
            name="SD2.1",
            source="stabilityai/stable-diffusion-2-1",
            resolution=768,
            guidance_scale=7.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="DDIM",
            aliases=("sd21", "sd 2.1", "stable diffusion 2.1", "stable diffusion v2.1"),
        ),
        Model(
            name="emoji-sd",
            source="emoji-sd",
            resolution=128,
            guidance_scale=2.0,
            scorer="emoji-clip",
            prompts="emoji",
            scheduler="DDIM",
            steps=25,
            aliases=("emoji", "emoji sd"),
            embedded=True,
        ),
    ),
)
