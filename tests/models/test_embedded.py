"""The embedded models as they ship: their files, their licence, and that they draw what the caption says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors import safe_open
from tests.support.marks import rarely
from transformers import CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel

from hasten.denoisers import denoiser_of
from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import PromptSet
from hasten.measure.setting import setting_of
from hasten.metrics import METRICS, load_scorer
from hasten.models import ASSETS, embedded_folder, find_model
from hasten.plan import Plan
from hasten.scenes import parse
from hasten.schedulers import find_scheduler

EMOJI_SD, EMOJI_SDXL, EMOJI_PIXART, EMOJI_SD3 = (
    embedded_folder(f"emoji-{kind}") for kind in ("sd", "sdxl", "pixart", "sd3")
)
EMOJI_CLIP = embedded_folder("emoji-clip")
PIPELINES = {
    "emoji-sd": StableDiffusionPipeline,
    "emoji-sdxl": StableDiffusionXLPipeline,
    "emoji-pixart": PixArtSigmaPipeline,
    "emoji-sd3": StableDiffusion3Pipeline,
}
DENOISERS = {"emoji-pixart": PixArtTransformer2DModel, "emoji-sd3": SD3Transformer2DModel}  # else a UNet
ABSOLUTE_PATH = re.compile(r"(^|\s)(~|[A-Za-z]:|\.{0,2})[/\\][\w.-]+[/\\]")
often = pytest.mark.parametrize(
    "pipe", [pytest.param(n, marks=rarely(n != "emoji-sd")) for n in PIPELINES], indirect=True
)
"""For what takes long: ``make test`` draws with one of them, and the others at their own size in few steps."""


@pytest.fixture(scope="module", params=PIPELINES)
def pipe(request: pytest.FixtureRequest) -> DiffusionPipeline:
    pipe = PIPELINES[request.param].from_pretrained(embedded_folder(request.param))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    return CLIPModel.from_pretrained(EMOJI_CLIP)


@pytest.fixture(scope="module")
def words() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(EMOJI_CLIP)


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        (CLIPModel, EMOJI_CLIP),
        (CLIPTextModel, EMOJI_SD / "text_encoder"),
        (UNet2DConditionModel, EMOJI_SD / "unet"),
        (AutoencoderKL, EMOJI_SD / "vae"),
        (CLIPTextModel, EMOJI_SDXL / "text_encoder"),
        (CLIPTextModelWithProjection, EMOJI_SDXL / "text_encoder_2"),
        (UNet2DConditionModel, EMOJI_SDXL / "unet"),
        (AutoencoderKL, EMOJI_SDXL / "vae"),
        (T5EncoderModel, EMOJI_PIXART / "text_encoder"),
        (PixArtTransformer2DModel, EMOJI_PIXART / "transformer"),
        (AutoencoderKL, EMOJI_PIXART / "vae"),
        (CLIPTextModelWithProjection, EMOJI_SD3 / "text_encoder"),
        (CLIPTextModelWithProjection, EMOJI_SD3 / "text_encoder_2"),
        (T5EncoderModel, EMOJI_SD3 / "text_encoder_3"),
        (SD3Transformer2DModel, EMOJI_SD3 / "transformer"),
        (AutoencoderKL, EMOJI_SD3 / "vae"),
    ],
)
def test_every_weight_is_in_the_file_and_in_the_model(kind: Any, folder: Path) -> None:
    _, told = kind.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]


def test_the_pipeline_is_of_a_plain_class(pipe: DiffusionPipeline) -> None:
    name, denoiser = name_of(pipe), denoiser_of(pipe)
    assert type(pipe) is PIPELINES[name]
    assert type(denoiser) is DENOISERS.get(name, UNet2DConditionModel)
    assert type(pipe.vae) is AutoencoderKL
    assert find_scheduler(find_model(name)[1].scheduler).is_that_of(pipe.scheduler)
    assert name == "emoji-sd3" or pipe.scheduler.config.prediction_type == "v_prediction"
    assert denoiser.config.sample_size * pipe.vae_scale_factor == find_model(name)[1].resolution == 128
    assert getattr(pipe, "safety_checker", None) is None


def test_loaded_plainly_all_parts_have_one_type(pipe: DiffusionPipeline, clip: CLIPModel) -> None:
    """The files hold float16, and transformers 5 would keep that in the text encoder alone."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    assert len(parts) >= 3
    assert {part.dtype for part in (*parts, clip)} == {torch.float32}


def test_hasten_draws_at_the_models_own_size(pipe: DiffusionPipeline) -> None:
    setting = setting_of(pipe, steps=2)
    _, model = find_model(name_of(pipe))
    assert (setting.model, setting.height, setting.width) == (model.name, 128, 128)
    assert setting.guidance_scale == model.guidance_scale
    prompts = PromptSet("one", ("a strawberry on a blue background",), ("a cat on a red background",))
    assert Pipeline(pipe, setting, prompts).draw(Plan(), "search", [0]).shape == (1, 3, 128, 128)


@pytest.mark.parametrize("pipe", ["emoji-sd", "emoji-sdxl", "emoji-sd3"], indirect=True)
def test_its_folder_and_the_scorers_read_and_encode_captions_alike(
    pipe: DiffusionPipeline, clip: CLIPModel, words: CLIPTokenizer
) -> None:
    texts = prompts("search")
    ids = encode(words, texts)
    assert torch.equal(ids, encode(pipe.tokenizer, texts))
    with torch.no_grad():
        drawn_from = pipe.text_encoder(ids).last_hidden_state
        scored_with = clip.text_model(ids).last_hidden_state
    torch.testing.assert_close(drawn_from, scored_with)


@pytest.mark.parametrize("pipe", ["emoji-sdxl", "emoji-sd3"], indirect=True)
def test_the_second_encoder_projects_as_the_scorer_does(pipe: DiffusionPipeline, clip: CLIPModel) -> None:
    ids = encode(pipe.tokenizer_2, prompts("search")[:2])
    with torch.no_grad():
        pooled = pipe.text_encoder_2(ids).text_embeds
        projected = clip.text_projection(clip.text_model(ids).pooler_output)
    torch.testing.assert_close(pooled, projected)


@pytest.mark.parametrize("pipe", ["emoji-pixart"], indirect=True)
def test_more_padding_draws_the_same(pipe: DiffusionPipeline) -> None:
    texts = ["a strawberry on a blue background"]
    torch.testing.assert_close(
        draw(pipe, texts, steps=2), draw(pipe, texts, steps=2, max_sequence_length=300), atol=1e-3, rtol=0
    )


def test_weights_are_half_precision_safetensors_only() -> None:
    weights = [f for f in ASSETS.rglob("*") if f.is_file() and f.stat().st_size > 100_000]
    assert len(weights) == 9 and {f.suffix for f in weights} == {".safetensors"}
    for file in weights:
        with safe_open(file, "pt") as tensors:
            assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118


def test_all_assets_together_stay_small() -> None:
    assert sum(f.stat().st_size for f in ASSETS.rglob("*") if f.is_file()) <= 95_000_000


def test_the_notice_names_the_artwork_and_its_licence() -> None:
    notice = (ASSETS / "NOTICE.md").read_text(encoding="utf-8")
    assert "Noto Emoji" in notice and "Apache License, Version 2.0" in notice


def test_no_file_tells_where_it_was_made() -> None:
    files = list(ASSETS.rglob("*.json"))
    assert len(files) >= 30
    for file in files:
        found = [s for s in strings(json.loads(file.read_text(encoding="utf-8"))) if ABSOLUTE_PATH.search(s)]
        assert not found, file


def test_what_counts_as_a_path() -> None:
    assert all(ABSOLUTE_PATH.search(s) for s in ("/home/ann/emoji", "C:\\models\\emoji", "~/emoji/", "../a/b"))
    assert not any(ABSOLUTE_PATH.search(s) for s in ("/", "/</w>", "\\", "diffusers", "1/255"))


def test_prompt_sets_are_disjoint_scenes_of_trained_and_withheld_combinations() -> None:
    splits = [prompts(split) for split in ("search", "held-out", "fresh")]
    assert [len(split) for split in splits] == [128, 128, 64]
    assert len({caption for split in splits for caption in split}) == 320
    for split in splits:
        assert sum(parse(text).withheld for text in split) == len(split) / 4


@often
def test_it_draws_trained_and_withheld_scenes(
    pipe: DiffusionPipeline, clip: CLIPModel, words: CLIPTokenizer
) -> None:
    texts, others = prompts("search")[:8], prompts("held-out")[:56]
    images = draw(pipe, texts, steps=10)
    with torch.no_grad():
        found = clip(input_ids=encode(words, texts + others), pixel_values=images * 2 - 1).logits_per_image.argmax(
            1
        )
    assert (found == torch.arange(8)).sum() >= 7
    assert sum(METRICS.get("attributes").score(images, texts, scorer=load_scorer("emoji-clip"))) / 8 >= 0.85


@often
def test_the_seed_decides_the_image(pipe: DiffusionPipeline) -> None:
    texts = ["a strawberry on a blue background"]
    first, again, other = (draw(pipe, texts, steps=3, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


def prompts(split: str) -> list[str]:
    return (ASSETS / "prompts" / f"emoji-{split}.txt").read_text(encoding="utf-8").splitlines()


def encode(words: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    return words(texts, padding="max_length", return_tensors="pt").input_ids


def name_of(pipe: DiffusionPipeline) -> str:
    place = str(pipe.config["_name_or_path"])
    return next(name for name in PIPELINES if place == str(embedded_folder(name)))


def draw(pipe: DiffusionPipeline, texts: list[str], steps: int, seed: int = 0, **changes: Any) -> torch.Tensor:
    """(n, 3, 128, 128) in 0 to 1, called as hasten calls the model."""
    family, model = find_model(name_of(pipe))
    call = {"guidance_scale": model.guidance_scale, **family.called_with(model), **changes}
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(texts))]
    return pipe(texts, num_inference_steps=steps, generator=generators, output_type="pt", **call).images


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
