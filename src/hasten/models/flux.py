"""FLUX.1: a transformer of double and single blocks, trained by flow matching. Guidance is an input or absent.

The dev model was distilled from guided images: the guidance scale is one of its inputs, and no second half of the
batch is computed. The schnell model was distilled to a few steps and has no guidance at all.
"""

from __future__ import annotations

from hasten.models.base import Family, Model
from hasten.models.pixart_alpha import PACKAGES
from hasten.models.stable_diffusion import VIT_G_14

FAMILY = Family(
    name="flux",
    title="FLUX.1",
    pipeline="FluxPipeline",
    denoiser="transformer",
    denoiser_class="FluxTransformer2DModel",
    # The pipeline gives its scheduler the noise levels and their shift. In diffusers only this scheduler takes
    # them.
    schedulers=("FlowMatchEuler",),
    # The third result is the position of each word: zeros that the call creates anew.
    text_states=("prompt_embeds", "pooled_prompt_embeds", ""),
    half_dtype="bfloat16",
    packages=PACKAGES,
    models=(
        Model(
            name="FLUX.1-dev",
            source="black-forest-labs/FLUX.1-dev",
            resolution=1024,
            guidance_scale=3.5,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="FlowMatchEuler",
            steps=50,
            aliases=("flux", "flux.1", "flux.1 [dev]", "flux1", "flux 1", "flux dev", "flux1 dev", "flux 1 dev"),
        ),
        Model(
            name="FLUX.1-schnell",
            source="black-forest-labs/FLUX.1-schnell",
            resolution=1024,
            guidance_scale=0.0,
            scorer=VIT_G_14,
            prompts="general",
            scheduler="FlowMatchEuler",
            steps=4,
            aliases=("flux.1 [schnell]", "flux schnell", "flux1 schnell", "flux 1 schnell"),
            # This is the longest text that it was distilled on. The pipeline's default is the dev model's, 512.
            call={"max_sequence_length": 256},
        ),
    ),
)
