"""PixArt-alpha: a diffusion transformer on T5's text."""

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
    # The size that is asked for. Binning draws the nearest of its own list and scales that.
    "use_resolution_binning": False,
    # The prompt as it is. Cleaning it takes two more packages, and without them a warning at each call.
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
