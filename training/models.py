"""The architectures: all plain diffusers and transformers classes."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PixArtTransformer2DModel,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from hasten.scenes import COLOURS, NUMBERS, PATTERNS, THINGS, countable, plural

ASSETS = Path(__file__).parent.parent / "src" / "hasten" / "assets"
FINISHED = {
    "vae": "emoji-sd/vae", "clip": "emoji-clip", "tokenizer": "emoji-sd/tokenizer", "unet": "emoji-sd/unet",
    "sdxl": "emoji-sdxl/unet", "pixart": "emoji-pixart/transformer", "pixart-t5": "emoji-pixart/text_encoder",
    "sd3": "emoji-sd3/transformer", "sd3-t5": "emoji-sd3/text_encoder_3",
}  # fmt: skip
"""Where the shipped parts lie, half precision."""
AFRESH = "afresh"
"""A file of this name in a work folder says that nothing shipped is used there."""
SIDE, TOKENS = 128, 32
TEXT = 192  # width of emoji-clip's text model, and of what it compares
CHANNELS = 8  # of the latents
START, END = "<|startoftext|>", "<|endoftext|>"
LETTER = -20.0  # log probability: a word is spelt only where it is not known whole
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
            vocab_size=2400, initial_alphabet=sorted(alphabet), end_of_word_suffix="</w>", show_progress=False
        )
        bpe.train_from_iterator(every_word(), trainer)
        bpe.model.save(str(folder))
        _add_specials(folder, alphabet)
    made = CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS, pad_token=END)
    made.save_pretrained(folder)
    return made


def every_word() -> list[str]:
    """Pieces of captions that hold every word of every caption."""
    many = [f"{number} {plural(thing)}" for thing in THINGS if countable(thing) for number in NUMBERS.values()]
    joints = ["left of", "above", "and", "in a row", "on a background", *PATTERNS[1:], *COLOURS]
    return [*THINGS, *many, *joints * 50]


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


def vae(channels: int = CHANNELS) -> AutoencoderKL:
    """128×128×3 ↔ 32×32×8; no attention, 32 channels at full size: decoding is a small part of a run."""
    return AutoencoderKL(
        block_out_channels=(32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=16,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def clip(words: CLIPTokenizer) -> CLIPModel:
    """Text of 32 tokens and 128×128 images in 16×16 patches, 192 joint dimensions."""
    special = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    text = {
        "vocab_size": len(words), "hidden_size": TEXT, "intermediate_size": 4 * TEXT, "num_hidden_layers": 4,
        "num_attention_heads": 6, "max_position_embeddings": TOKENS, "projection_dim": TEXT,
        "pad_token_id": words.pad_token_id, **special,
    }  # fmt: skip
    vision = {
        "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8,
        "image_size": SIDE, "patch_size": 16, "projection_dim": TEXT,
    }  # fmt: skip
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=TEXT))


def unet(channels: int = CHANNELS) -> UNet2DConditionModel:
    """Four levels from 32×32 down. Like Stable Diffusion's, the lowest has no attention.

    The highest level attends on the way up only, with six heads: enough work for ToMe to save, and
    little enough in the way of DeepCache's skipped steps.
    """
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(48, 96, 160, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(6, 3, 5, 6),
        cross_attention_dim=TEXT,
        norm_num_groups=16,
    )


def sdxl_unet() -> UNet2DConditionModel:
    """SDXL's three levels from 32×32 down: none attends at the top, the lowest with three transformers each.

    Its context is that of both text encoders; the time embedding also takes the second one's pooled text and six
    numbers: original size, place of the crop, and target size.
    """
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(48, 96, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 3),
        attention_head_dim=(1, 3, 4),
        cross_attention_dim=2 * TEXT,
        use_linear_projection=True,
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=6 * 32 + TEXT,
    )


def pixart_transformer() -> PixArtTransformer2DModel:
    """Eleven blocks over 16×16 patches. It predicts v, not also a variance: as many channels out as in."""
    made = PixArtTransformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=11,
        num_attention_heads=6,
        attention_head_dim=32,
        cross_attention_dim=6 * 32,
        caption_channels=128,
    )
    _start(made)
    return made


def _start(transformer: PixArtTransformer2DModel) -> None:
    """First weights as in the PixArt-alpha paper: what text adds and what comes out is zero at the beginning."""
    for module in transformer.transformer_blocks.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(module.weight)
            torch.nn.init.zeros_(module.bias)
    for module in (*transformer.adaln_single.modules(), *transformer.caption_projection.modules()):
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.02)
    for last in (transformer.proj_out, *(block.attn2.to_out[0] for block in transformer.transformer_blocks)):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)


def t5(words: T5Tokenizer, width: int = 128, layers: int = 3) -> T5EncoderModel:
    """Small, and ``width`` wide; PixArt's unless told."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(words), d_model=width, d_kv=32, d_ff=256, num_layers=layers, num_heads=4,
            dropout_rate=0.0, feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip


def t5_tokenizer() -> T5Tokenizer:
    """The captions' words, and single letters to spell any other with; nothing to be learnt."""
    counts = Counter(f"▁{word}" for piece in every_word() for word in piece.split())
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = [(word, math.log(count / counts.total())) for word, count in sorted(counts.items())]
    letters = [(letter, LETTER) for letter in "▁-,abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=[*special, *words, *letters], extra_ids=0, model_max_length=TOKENS)


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
    """(n, 32) token ids."""
    return words(
        texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids.to(device)


def text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """The CLIP's text model as a pipeline takes it, float32."""
    made, weights = CLIPTextModel(clip.config.text_config), clip.text_model.state_dict()
    if not set(weights) & set(made.state_dict()):  # transformers before version 5
        weights = {f"text_model.{key}": value for key, value in weights.items()}
    made.load_state_dict(weights)
    return made.float().eval()


def projecting(clip: CLIPModel) -> CLIPTextModelWithProjection:
    """The CLIP's text model with its projection, whose pooled text is what the CLIP compares images with."""
    made = CLIPTextModelWithProjection(clip.config.text_config)
    made.text_projection.load_state_dict(clip.text_projection.state_dict())
    made.text_model.load_state_dict(clip.text_model.state_dict())
    return made.float().eval()


def vae_of(work: Path) -> AutoencoderKL:
    """The VAE, float32."""
    return AutoencoderKL.from_pretrained(part(work, "vae")).float().eval()


def clip_of(work: Path) -> CLIPModel:
    """The CLIP, float32."""
    return CLIPModel.from_pretrained(part(work, "clip")).float().eval()


def words_of(work: Path) -> CLIPTokenizer:
    """The tokenizer that goes with ``clip_of``."""
    return CLIPTokenizer.from_pretrained(part(work, "tokenizer"))


def part(work: Path, name: str) -> Path:
    """A part's folder: in ``work``, else the shipped one, unless ``work`` is told to make everything afresh."""
    own = work / name
    return own if own.exists() or (work / AFRESH).exists() else ASSETS / FINISHED[name]
