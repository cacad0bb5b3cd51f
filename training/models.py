"""The architectures: all plain diffusers and transformers classes."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from objects import COLOURS, OBJECTS, caption

TOKENS = 16
START, END = "<|startoftext|>", "<|endoftext|>"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer whose byte-pair merges were learnt from the captions, saved to ``folder``."""
    if not (folder / "vocab.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
        bpe.normalizer = normalizers.Lowercase()
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(_regex(), "removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=1200, initial_alphabet=sorted(alphabet), end_of_word_suffix="</w>", show_progress=False
        )
        bpe.train_from_iterator([caption(o, c) for o in OBJECTS.values() for c in COLOURS], trainer)
        bpe.model.save(str(folder))
        _add_specials(folder, alphabet)
    made = CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS, pad_token=END)
    made.save_pretrained(folder)
    return made


def _regex():
    from tokenizers import Regex

    return Regex(WORD)


def _add_specials(folder: Path, alphabet: list[str]) -> None:
    """CLIP's vocabulary also needs every byte as the end of a word, and the two special tokens last."""
    import json

    path = folder / "vocab.json"
    vocabulary = json.loads(path.read_text())
    for token in [*(f"{byte}</w>" for byte in sorted(alphabet)), START, END]:
        vocabulary.setdefault(token, len(vocabulary))
    path.write_text(json.dumps(vocabulary, ensure_ascii=False))


def vae() -> AutoencoderKL:
    """64×64×3 ↔ 32×32×4; no attention, 32 channels at full size: decoding is a small part of a run."""
    return AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=64,
        mid_block_add_attention=False,
    )


def clip(words: CLIPTokenizer) -> CLIPModel:
    """Text of 16 tokens and 64×64 images in 8×8 patches, 128 joint dimensions."""
    special = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    text = {
        "vocab_size": len(words), "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": TOKENS, "projection_dim": 128,
        "pad_token_id": words.pad_token_id, **special,
    }  # fmt: skip
    vision = {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6,
        "image_size": 64, "patch_size": 8, "projection_dim": 128,
    }  # fmt: skip
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def unet() -> UNet2DConditionModel:
    """Four levels from 32×32 down. Like Stable Diffusion's, the lowest has no attention.

    The highest level attends on the way up only, with four heads: enough work for ToMe to save, and
    little enough in the way of DeepCache's skipped steps.
    """
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 128, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(4, 2, 4, 5),
        cross_attention_dim=128,
        norm_num_groups=16,
    )


def scheduler() -> DDIMScheduler:
    """v-prediction, linear betas (the last signal-to-noise ratio is 4e-5), trailing steps.

    With ``scaled_linear`` betas the last step keeps 7% of the image, and a sampler that starts from pure
    noise gets the background's colour wrong; here it keeps 0.6%, and every scheduler copes with it.
    """
    return DDIMScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def encode(words: CLIPTokenizer, texts: list[str], device: str) -> torch.Tensor:
    """(n, 16) token ids."""
    return words(
        texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids.to(device)
