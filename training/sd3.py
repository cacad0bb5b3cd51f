"""Stable Diffusion 3's parts: its transformer, its T5, its noise and scheduler, and the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from transformers import T5EncoderModel, T5Tokenizer

import models

WIDTH, HEADS, LAYERS = 160, 5, 8
TEXT = models.TEXT  # what each of the two text encoders gives, as states and as pooled text
SHIFT = 3.0


def transformer() -> SD3Transformer2DModel:
    """Eight joint blocks over 16×16 patches, normalised queries and keys as SD3.5's."""
    made = SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=models.CHANNELS,
        out_channels=models.CHANNELS,
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        joint_attention_dim=2 * TEXT,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * TEXT,
        pos_embed_max_size=32,
        qk_norm="rms_norm",
    )
    _start(made)
    return made


def _start(made: SD3Transformer2DModel) -> None:
    """First weights as in the DiT paper, arXiv:2212.09748: a block is the identity, and what comes out is zero."""
    for module in made.transformer_blocks.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(module.weight)
            torch.nn.init.zeros_(module.bias)
    for module in made.time_text_embed.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.02)
    modulations = [norm.linear for block in made.transformer_blocks for norm in (block.norm1, block.norm1_context)]
    for last in (*modulations, made.norm_out.linear, made.proj_out):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Euler steps from pure noise, ``SHIFT`` as SD3's own."""
    return FlowMatchEulerDiscreteScheduler(shift=SHIFT)


def noised(clean: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Rectified flow: latents on the straight line to noise, the times (0 to 1000) as the pipeline gives them, and
    the velocity along the line, noise − latents.

    The share of noise is logit-normal (SD3's paper, arXiv:2403.03206), shifted as the scheduler shifts it: plain,
    it is beyond 0.97 once in 4,000 times, which is where the background's colour is decided.
    """
    share = torch.randn(len(clean), device=clean.device, generator=random).sigmoid()
    share = SHIFT * share / (1 + (SHIFT - 1) * share)
    noise = torch.randn(clean.shape, device=clean.device, generator=random)
    return clean.lerp(noise, share[:, None, None, None]), 1000 * share, noise - clean


def t5(words: T5Tokenizer) -> T5EncoderModel:
    """One layer, as wide as both CLIP states beside each other: its states follow theirs."""
    return models.t5(words, width=2 * TEXT, layers=1)


def pipeline(
    denoiser: SD3Transformer2DModel, text: T5EncoderModel, words: T5Tokenizer, work: Path
) -> StableDiffusion3Pipeline:
    """The whole pipeline, float32. Both CLIP text encoders are emoji-clip's, with its projection."""
    clip, clip_words, vae = models.projecting(models.clip_of(work)), models.words_of(work), models.vae_of(work)
    vae.register_to_config(shift_factor=0.0)  # the pipeline adds it
    return StableDiffusion3Pipeline(
        vae=vae,
        text_encoder=clip,
        text_encoder_2=clip,
        text_encoder_3=text,
        tokenizer=clip_words,
        tokenizer_2=clip_words,
        tokenizer_3=words,
        transformer=denoiser,
        scheduler=scheduler(),
    )
