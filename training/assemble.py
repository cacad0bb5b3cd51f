"""Puts the trained parts together as diffusers and transformers folders, fp16, as the package ships them.

python assemble.py emoji-sdxl emoji-pixart                # into work/
python assemble.py emoji-sd emoji-sdxl emoji-pixart emoji-sd3 --share --out ../src/hasten/assets    # as shipped
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    PixArtSigmaPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from safetensors.torch import load_file, save_file

import models
import sd3

HERE = Path(__file__).parent


def emoji_sd(work: Path) -> StableDiffusionPipeline:
    """Stable Diffusion of the parts in ``work`` or, where it has none, the finished ones; float32."""
    return StableDiffusionPipeline(
        vae=models.vae_of(work),
        text_encoder=models.text_encoder(models.clip_of(work)),
        tokenizer=models.words_of(work),
        unet=made(work, "unet", "unet-unet", models.unet),
        scheduler=models.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def emoji_sdxl(work: Path) -> StableDiffusionXLPipeline:
    """SDXL. emoji-clip's text model is both encoders; the second one also projects."""
    clip, words = models.clip_of(work), models.words_of(work)
    return StableDiffusionXLPipeline(
        vae=models.vae_of(work),
        text_encoder=models.text_encoder(clip),
        text_encoder_2=models.projecting(clip),
        tokenizer=words,
        tokenizer_2=words,
        unet=made(work, "sdxl", "sdxl-unet", models.sdxl_unet),
        scheduler=models.scheduler(),
        add_watermarker=False,
    )


def emoji_pixart(work: Path) -> PixArtSigmaPipeline:
    """PixArt-Sigma, with a T5 of its own."""
    words = models.t5_tokenizer()
    return PixArtSigmaPipeline(
        vae=models.vae_of(work),
        text_encoder=made(work, "pixart-t5", "pixart-text", lambda: models.t5(words)),
        tokenizer=words,
        transformer=made(work, "pixart", "pixart-transformer", models.pixart_transformer),
        scheduler=models.scheduler(),
    )


def emoji_sd3(work: Path) -> StableDiffusion3Pipeline:
    """Stable Diffusion 3, with emoji-clip's text model twice and a T5 of its own."""
    words = models.t5_tokenizer()
    return sd3.pipeline(
        made(work, "sd3", "sd3-transformer", sd3.transformer),
        made(work, "sd3-t5", "sd3-text", lambda: sd3.t5(words)),
        words,
        work,
    )


def made(work: Path, name: str, average: str, fresh: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A trained part, float32: finished or, of a stage that still runs, its newest averaged weights."""
    model, newest = fresh(), work / "ema" / f"{average}.safetensors"
    folder = models.part(work, name)
    file = next(folder.glob("*.safetensors")) if folder.exists() else newest
    if not file.exists():
        raise SystemExit(f"There is no {folder} and no {newest}: train {name.removesuffix('-t5')} first.")
    missing, unexpected = model.load_state_dict(load_file(file), strict=False)
    lacking = set(missing) - TIED - {name for name, _ in model.named_buffers()}  # averages are of parameters only
    if unexpected or lacking:
        raise SystemExit(f"{file} does not fit: it lacks {sorted(lacking)} and has {unexpected} too many.")
    return model.float().eval()


TIED = {"encoder.embed_tokens.weight"}
"""A T5's word vectors by their second name; saved once."""

PIPELINES = {
    "emoji-sd": emoji_sd, "emoji-sdxl": emoji_sdxl, "emoji-pixart": emoji_pixart, "emoji-sd3": emoji_sd3,
}  # fmt: skip


BORROWED = {
    "vae/diffusion_pytorch_model.safetensors": "emoji-sd/vae/diffusion_pytorch_model.safetensors",
    "text_encoder/text.safetensors": "emoji-sd/text_encoder/model.safetensors",
    "text_encoder_2/text.safetensors": "emoji-sd/text_encoder/model.safetensors",
    "text_encoder/model.safetensors": "emoji-sd/text_encoder/model.safetensors",
}
"""Files that the other models have in common with emoji-sd, and that the package holds once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="+", choices=PIPELINES)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="what train.py left")
    parser.add_argument("--out", type=Path, help="folder of the finished folders; --work unless told")
    parser.add_argument(
        "--share", action="store_true", help="leave out what emoji-sd, in the same folder, has too"
    )
    options = parser.parse_args()
    out = options.out or options.work
    for name in options.name:
        PIPELINES[name](options.work).to(dtype=torch.float16).save_pretrained(out / name, safe_serialization=True)
        if name == "emoji-sd":
            _emoji_clip(options.work, out / "emoji-clip")
            _finish(out / "emoji-clip")
        _finish(out / name)
        if options.share and name != "emoji-sd":
            _share(out, name)


def _emoji_clip(work: Path, folder: Path) -> None:
    models.clip_of(work).half().save_pretrained(folder, safe_serialization=True)
    models.words_of(work).save_pretrained(folder)
    _preprocessor(folder)


def _share(out: Path, name: str) -> None:
    """Leaves out the files that emoji-sd has too, and writes down where they are to be taken from."""
    for encoder in (out / name).glob("text_encoder*"):
        _apart(encoder)
    borrowed = {file: source for file, source in BORROWED.items() if _equal(out / name / file, out / source)}
    for file in borrowed:
        (out / name / file).unlink()
    (out / name / "borrowed.json").write_text(json.dumps(borrowed, indent=2) + "\n")


def _equal(file: Path, other: Path) -> bool:
    mine, theirs = (load_file(f) if f.exists() else {} for f in (file, other))
    return bool(mine) and mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def _apart(encoder: Path) -> None:
    """Splits a CLIP text encoder with projection into the text model, which can be shared, and the projection."""
    weights = load_file(encoder / "model.safetensors")
    if "text_projection.weight" not in weights:
        return
    projection = {"text_projection.weight": weights.pop("text_projection.weight")}
    save_file(weights, encoder / "text.safetensors", {"format": "pt"})
    save_file(projection, encoder / "projection.safetensors", {"format": "pt"})
    (encoder / "model.safetensors").unlink()
    of = {**dict.fromkeys(weights, "text.safetensors"), **dict.fromkeys(projection, "projection.safetensors")}
    size = sum(t.nbytes for t in (*weights.values(), *projection.values()))
    index = {"metadata": {"total_size": size}, "weight_map": of}
    (encoder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _finish(folder: Path) -> None:
    """Neutral configurations; names of weights and files of tokenizers that older transformers reads, too."""
    for config in folder.glob("**/config.json"):
        config.write_text(json.dumps(_neutral(json.loads(config.read_text())), indent=2) + "\n")
    for settings in folder.glob("**/tokenizer_config.json"):
        if json.loads(settings.read_text())["tokenizer_class"] == "CLIPTokenizer":
            _byte_pairs(settings.parent)
    for encoder in folder.glob("text_encoder*/model.safetensors"):
        _as_on_the_hub(encoder)


def _as_on_the_hub(file: Path) -> None:
    """A CLIP's text model under the names that all versions of transformers read; version 5 saves shorter ones."""
    weights = load_file(file)
    if "embeddings.token_embedding.weight" in weights:
        save_file({f"text_model.{key}": value for key, value in weights.items()}, file, {"format": "pt"})


def _neutral(settings: dict[str, Any]) -> dict[str, Any]:
    """Without the folder of the machine that trained it, and float32 unless the user asks for another type.

    transformers 5 takes the type of the configuration where none is asked for, diffusers takes float32: with
    float16 written here the text encoder's states would not fit the UNet.
    """
    settings.pop("_name_or_path", None)
    for part in (settings, *(v for v in settings.values() if isinstance(v, dict))):
        if "dtype" in part:
            part["dtype"] = "float32"
    return settings


def _byte_pairs(folder: Path) -> None:
    """``vocab.json`` and ``merges.txt``, out of the ``tokenizer.json`` beside them."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    pairs = (" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n")


def _preprocessor(folder: Path) -> None:
    """Written by hand: the class that saves it needs torchvision."""
    settings = {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": models.SIDE},
        "resample": 3, "do_center_crop": True, "crop_size": {"height": models.SIDE, "width": models.SIDE},
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3, "do_convert_rgb": True,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    main()
