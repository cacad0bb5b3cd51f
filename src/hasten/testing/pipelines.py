"""Real diffusers pipelines at small size with random weights: built from configurations, nothing is downloaded."""

from __future__ import annotations

import json
import string
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

TEXT_LENGTH = 16


def tiny_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer of letters: every word is spelled out."""
    letters = [*string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
    vocab = {token: i for i, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps(vocab))
        Path(folder, "merges.txt").write_text("#version: 0.2\n")
        Path(folder, "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": TEXT_LENGTH})
        )
        return CLIPTokenizer.from_pretrained(folder)


def tiny_text_config(vocab_size: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH,
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
    )


def tiny_vae(channels: int = 4, **config: Any) -> AutoencoderKL:
    """Eight pixels a latent, as the big ones."""
    return AutoencoderKL(
        block_out_channels=(16, 16, 16, 16),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=128,
        **config,
    ).eval()


def tiny_flow_vae() -> AutoencoderKL:
    """That of the flow-matching models: 16 channels, shifted, and no convolution between it and the latents."""
    return tiny_vae(16, shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False)


def tiny_sd(seed: int = 0) -> StableDiffusionPipeline:
    """Stable Diffusion's shape: four levels, cross attention at the upper three, 16×16 latents, DDIM."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 32, 32),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
    ).eval()
    pipe = StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(tiny_text_config(len(tokenizer))).eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_sdxl(seed: int = 0) -> StableDiffusionXLPipeline:
    """SDXL's shape: three levels, none, 2 and 4 transformer layers, two text encoders, 16×16 latents, Euler."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    config = tiny_text_config(len(tokenizer))
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 32),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 4),
        cross_attention_dim=64,
        attention_head_dim=(1, 2, 2),
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 32,
    ).eval()
    pipe = StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(config).eval(),
        text_encoder_2=CLIPTextModelWithProjection(config).eval(),
        tokenizer=tokenizer,
        tokenizer_2=tiny_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer of letters, too."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -3.0) for letter in f"▁{string.ascii_lowercase}"]
    return T5Tokenizer(vocab=[*special, *letters], extra_ids=0, model_max_length=TEXT_LENGTH)


def tiny_t5(vocab_size: int, width: int = 32) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size, d_model=width, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=0.0
        )
    ).eval()


def tiny_pixart(seed: int = 0) -> PixArtSigmaPipeline:
    """PixArt-Sigma's shape: two blocks over 8×8 patches, a learnt variance beside the noise, T5, DPM-Solver++."""
    torch.manual_seed(seed)
    tokenizer = tiny_t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=32,
    ).eval()
    pipe = PixArtSigmaPipeline(
        tokenizer=tokenizer,
        text_encoder=tiny_t5(len(tokenizer)),
        vae=tiny_vae(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_sd3(seed: int = 0, **config: Any) -> StableDiffusion3Pipeline:
    """SD3's shape: four joint blocks over 8×8 patches, two CLIPs, together narrower than T5, flow matching.

    ``config`` of the transformer: 3.5 has ``qk_norm="rms_norm"``, 3.5 medium ``dual_attention_layers`` as well.
    """
    torch.manual_seed(seed)
    letters, pieces = tiny_tokenizer(), tiny_t5_tokenizer()
    clip = tiny_text_config(len(letters))
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=4,
        num_attention_heads=4,
        attention_head_dim=8,
        joint_attention_dim=96,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=24,
        **config,
    ).eval()
    pipe = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny_flow_vae(),
        text_encoder=CLIPTextModelWithProjection(clip).eval(),
        tokenizer=letters,
        text_encoder_2=CLIPTextModelWithProjection(clip).eval(),
        tokenizer_2=tiny_tokenizer(),
        text_encoder_3=tiny_t5(len(pieces), width=96),
        tokenizer_3=pieces,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_flux(seed: int = 0, guidance: bool = True) -> FluxPipeline:
    """FLUX.1's shape: two double and four single blocks over packed latents, CLIP's pooled text and T5's.

    ``guidance``: the dev model, to which the guidance scale is an input; schnell has none. Ask it for 128×128
    pixels (64 packed latents): the pipeline's own default is 1024×1024, whatever the transformer is.
    """
    torch.manual_seed(seed)
    letters, pieces = tiny_tokenizer(), tiny_t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance,
    ).eval()
    flow = (
        {"use_dynamic_shifting": True, "shift": 3.0} if guidance else {"use_dynamic_shifting": False, "shift": 1.0}
    )
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**flow),
        vae=tiny_flow_vae(),
        text_encoder=CLIPTextModel(tiny_text_config(len(letters))).eval(),
        tokenizer=letters,
        text_encoder_2=tiny_t5(len(pieces)),
        tokenizer_2=pieces,
        transformer=transformer,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
