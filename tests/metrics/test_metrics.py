"""Scores against known answers and against transformers' own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.tiny_clip import PREPROCESSING, tiny_clip
from tests.support.tiny_dino import tiny_dino
from transformers import CLIPModel
from transformers.models.clip import CLIPImageProcessor

from hasten.errors import InputError
from hasten.metrics import METRICS, ClipScorer, load_scorer
from hasten.metrics._scorer import Preprocessing

PROMPTS = ["red dog", "a cat", "bus", "owl"]
SCENES = [
    "a dog on a red background",
    "two cats on a blue and gray striped background",
    "a cat left of a dog on a red background",
    "a cat, a dog and an owl in a row on a pink and red dotted background",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> ClipScorer:
    return load_scorer(str(folder))


@pytest.fixture(autouse=True, scope="module")
def _dino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HASTEN_DINOV2", str(tiny_dino(tmp_path_factory.mktemp("dino"))))
        yield


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """Smooth colours with sharp edges in them, at 8 bits."""
    torch.manual_seed(height + width)
    rough = torch.nn.functional.interpolate(torch.rand(count, 3, 6, 6), (height, width), mode="bilinear")
    rough[..., height // 3 :, width // 2 :] = 1 - rough[..., height // 3 :, width // 2 :]
    return (rough * 255).round() / 255


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_declares_what_it_measures(name: str, scorer: ClipScorer) -> None:
    metric = METRICS.get(name)
    assert metric.name == name
    assert metric.title
    assert metric.scale
    assert any(c.isdigit() for c in metric.version(scorer))


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_scores_image_by_image(name: str, scorer: ClipScorer) -> None:
    metric = METRICS.get(name)
    images = pictures(4, 64, 64)
    references = images.lerp(images.flip(-1), 0.3)
    prompts = SCENES if name == "attributes" else PROMPTS
    together = metric.score(images, prompts, references, scorer)
    alone = [
        metric.score(images[i : i + 1], prompts[i : i + 1], references[i : i + 1], scorer)[0] for i in range(4)
    ]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(set(together)) > 1


@pytest.mark.parametrize("name", [n for n in METRICS.names() if METRICS.get(n).needs_references])
def test_identical_images_are_perfect(name: str, scorer: ClipScorer) -> None:
    metric, images = METRICS.get(name), pictures(2, 64, 64)
    assert metric.score(images, PROMPTS[:2], images, scorer) == (metric.perfect, metric.perfect)
    with pytest.raises(InputError, match="reference"):
        metric.score(images, PROMPTS[:2], scorer=scorer)


def test_psnr_of_a_known_error() -> None:
    images = torch.full((2, 3, 16, 16), 0.5)
    errors = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert METRICS.get("psnr").score(images + errors, PROMPTS[:2], images) == pytest.approx((20.0, 40.0), abs=0.01)


def test_ssim_of_constant_images_is_its_formula() -> None:
    """Without variance only the luminance term is left: (2xy + c) / (x² + y² + c)."""
    a, b = torch.full((1, 3, 32, 32), 0.6), torch.full((1, 3, 32, 32), 0.3)
    expected = (2 * 0.6 * 0.3 + 1e-4) / (0.6**2 + 0.3**2 + 1e-4)
    assert METRICS.get("ssim").score(a, ["x"], b)[0] == pytest.approx(expected, abs=1e-4)


def test_clip_score_is_transformers_cosine(folder: Path, scorer: ClipScorer) -> None:
    images = pictures(4, 96, 64)
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = scorer.tokenizer(PROMPTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**tokens, pixel_values=processed(images, PREPROCESSING)).logits_per_image
        cosines = (logits / model.logit_scale.exp()).diagonal()
    expected = (100 * cosines).clamp(min=0).tolist()
    assert METRICS.get("clip_score").score(images, PROMPTS, scorer=scorer) == pytest.approx(expected, abs=0.3)
    assert max(expected) > 1


def test_clip_score_needs_a_scorer() -> None:
    with pytest.raises(InputError, match="scorer"):
        METRICS.get("clip_score").score(pictures(1, 32, 32), ["x"])


def test_attributes_score_scenes_only(scorer: ClipScorer) -> None:
    with pytest.raises(InputError, match="'red dog' is no scene"):
        METRICS.get("attributes").score(pictures(2, 32, 32), [SCENES[0], "red dog"], scorer=scorer)


def test_long_texts_are_cut(scorer: ClipScorer) -> None:
    assert scorer.text_features(["word " * 200]).shape == (1, 32)


def processed(images: torch.Tensor, config: dict[str, Any]) -> torch.Tensor:
    """By transformers' own processor, from Pillow images as people pass them."""
    arrays = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    processor = CLIPImageProcessor(**{k: v for k, v in config.items() if k != "image_processor_type"})
    found = processor([Image.fromarray(a) for a in arrays], return_tensors="np")["pixel_values"]
    return torch.from_numpy(np.asarray(found, dtype=np.float32))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 32), (128, 96), (50, 77), (16, 16), (224, 224)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resample": 2},
        {"size": {"height": 24, "width": 28}, "crop_size": {"height": 20, "width": 26}},
        {"do_resize": False, "crop_size": {"height": 64, "width": 48}},
        {"do_center_crop": False, "size": {"height": 32, "width": 32}},
        {"do_normalize": False},
    ],
)
def test_preprocessing_is_transformers(changes: dict[str, Any], height: int, width: int) -> None:
    config = {**PREPROCESSING, **changes}
    images = pictures(2, height, width)
    ours, theirs = Preprocessing.of(config)(images), processed(images, config)
    assert ours.shape == theirs.shape
    one_level = 1 / 255 / min(config["image_std"])
    assert (ours - theirs).abs().max() <= 1.01 * one_level
    assert (ours - theirs).abs().mean() <= 0.02 * one_level


def test_old_configurations_give_sizes_as_numbers() -> None:
    old = Preprocessing.of({**PREPROCESSING, "size": 32, "crop_size": 32})
    assert old == Preprocessing.of(PREPROCESSING)


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(InputError, match="filter 1"):
        Preprocessing.of({**PREPROCESSING, "resample": 1})


def test_a_scorer_is_loaded_once(folder: Path) -> None:
    assert load_scorer(str(folder)) is load_scorer(str(folder))


def test_a_name_that_is_no_scorer() -> None:
    with pytest.raises(InputError, match="No scorer 'emojo'"):
        load_scorer("emojo")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_scorer_that_lacks_files(missing: str, tmp_path: Path) -> None:
    (tiny_clip(tmp_path) / missing).unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        load_scorer(str(tmp_path))


def test_an_unreachable_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="without a connection"):
        load_scorer("nobody/no-such-clip")


def test_a_configuration_without_its_means(tmp_path: Path) -> None:
    config = {k: v for k, v in PREPROCESSING.items() if k != "image_mean"}
    (tiny_clip(tmp_path) / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="image_mean"):
        load_scorer(str(tmp_path))
