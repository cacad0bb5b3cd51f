"""PixArt-alpha: a diffusion transformer with T5 as its text encoder."""

from __future__ import annotations

from hasten.models.base import Family, Model
from hasten.models.stable_diffusion import VIT_G_14

TEXT_STATES = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)
CALL = {
    # Images keep the requested size. Binning would draw the nearest size of its own list and scale the image.
    "use_resolution_binning": False,
    # The prompt stays as it is. Cleaning it takes two more packages, and without them each call warns.
    "clean_caption": False,
}
PACKAGES = ("protobuf>=4", "sentencepiece>=0.2")

FAMILY = Family(
    name="pixart_alpha",
    title="PixArt-alpha",
    pipeline="PixArtAlphaPipeline",
    denoiser="transformer",
    denoiser_class="PixArtTransformer2DModel",
    text_states=TEXT_STATES,
    call=CALL,
    packages=PACKAGES,
    models=(
        Model(
            name="PixArt-alpha",
            source="PixArt-alpha/PixArt-XL-2-1024-MS",
            resolution=1024,
            guidance_scale=4.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="DPM-Solver++",
            steps=20,
            aliases=("pixart-α",),
        ),
    ),
)
