"""Puts the trained parts together as diffusers and transformers folders, fp16, as the package ships them."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

import models

HERE = Path(__file__).parent


def pipeline(work: Path) -> StableDiffusionPipeline:
    """The trained pipeline from the folder that ``train.py`` wrote."""
    clip = CLIPModel.from_pretrained(work / "emoji-clip", torch_dtype=torch.float32)
    text = CLIPTextModel(clip.config.text_config)
    wanted = text.state_dict()
    ours = {f"text_model.{k}": v for k, v in clip.text_model.state_dict().items()}
    if not set(ours) & set(wanted):
        ours = clip.text_model.state_dict()
    text.load_state_dict(ours)
    sd = work / "emoji-sd"
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(sd / "vae").float(),
        text_encoder=text.float().eval(),
        tokenizer=CLIPTokenizer.from_pretrained(sd / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(sd / "unet").float(),
        scheduler=models.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--out", type=Path, default=HERE.parent / "src" / "hasten" / "assets")
    options = parser.parse_args()
    pipeline(options.work).to(dtype=torch.float16).save_pretrained(
        options.out / "emoji-sd", safe_serialization=True
    )
    clip = CLIPModel.from_pretrained(options.work / "emoji-clip", torch_dtype=torch.float16)
    clip.save_pretrained(options.out / "emoji-clip", safe_serialization=True)
    CLIPTokenizer.from_pretrained(options.work / "emoji-clip").save_pretrained(options.out / "emoji-clip")
    _preprocessor(options.out / "emoji-clip")
    for folder in ("emoji-sd/tokenizer", "emoji-clip"):  # what transformers before version 5 reads
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(options.work / "emoji-sd" / "tokenizer" / name, options.out / folder / name)
    for config in options.out.glob("emoji-*/**/config.json"):
        config.write_text(json.dumps(_neutral(json.loads(config.read_text())), indent=2) + "\n")


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


def _preprocessor(folder: Path) -> None:
    """Written by hand: the class that saves it needs torchvision."""
    settings = {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 64},
        "resample": 3, "do_center_crop": True, "crop_size": {"height": 64, "width": 64}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "do_convert_rgb": True,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    main()
