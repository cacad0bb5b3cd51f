"""Stable Diffusion 1.5, 2.1 and XL of true size, from their published configurations."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from hasten.models import ASSETS, find_model
from hasten.schedulers import find_scheduler

from .subjects import Maker, Subject

TEXT_LENGTH = 77
PIXELS = 8
"""Of an image for a latent, a side."""

# What differs from the defaults of diffusers' UNet2DConditionModel, which are those of Stable Diffusion 1.
SD15 = {"sample_size": 64, "cross_attention_dim": 768}
SD21 = {
    "sample_size": 96,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "upcast_attention": True,
}
SDXL = {
    "sample_size": 128,
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
OPEN_CLIP_H = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "projection_dim": 512,
    "hidden_act": "gelu",
}
OPEN_CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}

TINY_UNET = {"sample_size": 8, "norm_num_groups": 8, "cross_attention_dim": 32, "layers_per_block": 1}
TINY_CLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 32,
}
TINY_VAE = {"block_out_channels": (16,) * 4, "layers_per_block": 1, "norm_num_groups": 8}


def sd15(make: Maker) -> Subject:
    """Stable Diffusion 1.5, 512 pixels: a UNet of 860 million weights, CLIP ViT-L's text model."""
    tiny = {**TINY_UNET, "block_out_channels": (32, 64, 64, 64)}
    return _sd(make, "SD1.5", _with(make, SD15, tiny), CLIP_L, "epsilon")


def sd21(make: Maker) -> Subject:
    """Stable Diffusion 2.1, 768 pixels: a UNet of 866 million weights, OpenCLIP ViT-H's text model."""
    tiny = {**TINY_UNET, "block_out_channels": (32, 64, 64, 64), "attention_head_dim": (2, 4, 4, 4)}
    return _sd(make, "SD2.1", _with(make, SD21, tiny), OPEN_CLIP_H, "v_prediction")


def sdxl(make: Maker) -> Subject:
    """Stable Diffusion XL base, 1024 pixels: a UNet of 2.6 billion weights, both of its text models.

    As published, its VAE decodes in float32 where the pipeline is float16.
    """
    tiny = {
        **TINY_UNET,
        "block_out_channels": (32, 64, 64),
        "attention_head_dim": (2, 4, 4),
        "cross_attention_dim": 64,
        "transformer_layers_per_block": (1, 1, 2),
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 32,
    }
    config = _with(make, SDXL, tiny)
    pipe = StableDiffusionXLPipeline(
        vae=vae_of(make, latent_channels=4, scaling_factor=0.13025, sample_size=1024),
        text_encoder=make(CLIPTextModel, _clip(make, CLIP_L)),
        text_encoder_2=make(CLIPTextModelWithProjection, _clip(make, OPEN_CLIP_G)),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=make(UNet2DConditionModel, **config),
        scheduler=_scheduler(make, "epsilon"),
        add_watermarker=False,
    )
    return _subject("SDXL", pipe)


def vae_of(make: Maker, **config: Any) -> Any:
    """The VAE that all these models share the shape of."""
    return make(AutoencoderKL, **_with(make, VAE, TINY_VAE), **config)


def _sd(make: Maker, name: str, config: dict[str, Any], text: dict[str, Any], prediction: str) -> Subject:
    pipe = StableDiffusionPipeline(
        vae=vae_of(make, latent_channels=4, sample_size=PIXELS * config["sample_size"]),
        text_encoder=make(CLIPTextModel, _clip(make, text)),
        tokenizer=_tokenizer(),
        unet=make(UNet2DConditionModel, **config),
        scheduler=_scheduler(make, prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _subject(name, pipe)


def _subject(name: str, pipe: Any) -> Subject:
    return Subject(name, pipe, PIXELS * pipe.unet.config.sample_size, find_model(name)[1].guidance_scale)


def _with(make: Maker, config: dict[str, Any], tiny: dict[str, Any]) -> dict[str, Any]:
    return {**config, **tiny} if make.tiny else config


def _tokenizer() -> CLIPTokenizer:
    """The embedded model's words, padded to the true length: which words they are does not matter here."""
    folder = ASSETS / "emoji-sd" / "tokenizer"
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=TEXT_LENGTH)


def _clip(make: Maker, config: dict[str, Any]) -> CLIPTextConfig:
    """The vocabulary is the true one, in which the tokenizer's numbers have their place."""
    words = _tokenizer()
    special = {f"{kind}_token_id": getattr(words, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    return CLIPTextConfig(
        vocab_size=49408, max_position_embeddings=TEXT_LENGTH, **special, **_with(make, config, TINY_CLIP)
    )


def _scheduler(make: Maker, prediction: str) -> Any:
    config = DDIMScheduler(**NOISE, prediction_type=prediction).config
    return find_scheduler(make.scheduler).build(config)


UNETS = {"SD1.5": sd15, "SD2.1": sd21, "SDXL": sdxl}
