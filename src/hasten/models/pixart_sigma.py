"""PixArt-Sigma, and the embedded emoji-pixart, which takes the same path."""

from __future__ import annotations

from hasten.models.base import Family, Model
from hasten.models.pixart_alpha import CALL, PACKAGES, TEXT_STATES
from hasten.models.stable_diffusion import VIT_G_14

FAMILY = Family(
    name="pixart_sigma",
    title="PixArt-Sigma",
    pipeline="PixArtSigmaPipeline",
    denoiser="transformer",
    denoiser_class="PixArtTransformer2DModel",
    text_states=TEXT_STATES,
    call=CALL,
    packages=PACKAGES,
    models=(
        Model(
            name="PixArt-sigma",
            source="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
            resolution=1024,
            guidance_scale=4.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="DPM-Solver++",
            steps=20,
            aliases=("pixart-σ",),
        ),
        Model(
            name="emoji-pixart",
            source="emoji-pixart",
            resolution=128,
            guidance_scale=2.0,
            scorer="emoji-clip",
            prompts="emoji",
            scheduler="DDIM",
            steps=25,
            embedded=True,
            # Its tokenizer cuts texts at this length. The pipeline would pad to 300 tokens, more than the image
            # has.
            call={"max_sequence_length": 32},
        ),
    ),
)
