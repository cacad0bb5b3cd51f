"""clip_image, ms_ssim and dinov2 against the libraries' own, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.support.tiny_clip import PREPROCESSING as CLIP_PREPROCESSING
from tests.support.tiny_clip import tiny_clip
from tests.support.tiny_dino import PREPROCESSING as DINO_PREPROCESSING
from tests.support.tiny_dino import tiny_dino
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)
from transformers import AutoModel, CLIPModel
from transformers.models.clip import CLIPImageProcessor

from hasten.errors import InputError
from hasten.metrics import METRICS, load_scorer, named_dino
from hasten.metrics.ms_ssim import SMALLEST, WEIGHTS, weights


def pictures(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth colours with sharp edges in them, at 8 bits."""
    torch.manual_seed(seed)
    rough = torch.nn.functional.interpolate(torch.rand(count, 3, 6, 6), (height, width), mode="bilinear")
    rough[..., height // 3 :, width // 2 :] = 1 - rough[..., height // 3 :, width // 2 :]
    return (rough * 255).round() / 255


def processed(images: torch.Tensor, config: dict[str, object]) -> torch.Tensor:
    """By transformers' own processor, from Pillow images as people pass them."""
    arrays = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    processor = CLIPImageProcessor(**{k: v for k, v in config.items() if k != "image_processor_type"})
    return torch.from_numpy(processor([Image.fromarray(a) for a in arrays], return_tensors="np")["pixel_values"])


def cosine(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    return torch.nn.functional.cosine_similarity(a, b).tolist()


@pytest.fixture
def dino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HASTEN_DINOV2", str(tmp_path))
    return tiny_dino(tmp_path)


def test_clip_image_is_the_cosine_of_transformers_features(tmp_path: Path) -> None:
    folder, images, references = tiny_clip(tmp_path), pictures(3, 64, 48), pictures(3, 64, 48, seed=1)
    model = CLIPModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        a, b = (
            model.get_image_features(pixel_values=processed(x, CLIP_PREPROCESSING)).pooler_output
            for x in (images, references)
        )
    found = METRICS.get("clip_image").score(images, ["x"] * 3, references, load_scorer(str(folder)))
    assert found == pytest.approx(cosine(a, b), abs=2e-3)
    assert max(found) < 0.999


def test_clip_image_needs_a_scorer() -> None:
    with pytest.raises(InputError, match="scorer"):
        METRICS.get("clip_image").score(pictures(1, 32, 32), ["x"], pictures(1, 32, 32))


def test_dinov2_is_the_cosine_of_transformers_class_tokens(dino: Path) -> None:
    images, references = pictures(3, 64, 48), pictures(3, 64, 48, seed=1)
    model = AutoModel.from_pretrained(dino).eval()
    with torch.inference_mode():
        a, b = (
            model(pixel_values=processed(x, DINO_PREPROCESSING)).last_hidden_state[:, 0]
            for x in (images, references)
        )
    found = METRICS.get("dinov2").score(images, ["x"] * 3, references)
    assert found == pytest.approx(cosine(a, b), abs=2e-3)
    assert max(found) < 0.999
    assert str(dino) in METRICS.get("dinov2").version()


def test_dinov2_is_the_base_model_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HASTEN_DINOV2", raising=False)
    assert named_dino() is None
    assert METRICS.get("dinov2").version().startswith("facebook/dinov2-base, transformers ")


def test_a_dinov2_that_is_another_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_DINOV2", str(tiny_clip(tmp_path)))
    with pytest.raises(InputError, match="a clip model, not one of dinov2"):
        METRICS.get("dinov2").check(64, 64)


def test_an_unreachable_dinov2_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_DINOV2", "nobody/no-such-dino")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="Set HASTEN_DINOV2"):
        METRICS.get("dinov2").check(64, 64)


@pytest.mark.full  # the others are beside it
@pytest.mark.parametrize("side", [176, 200])
def test_ms_ssim_of_large_images_is_the_published_one(side: int) -> None:
    images = pictures(2, side, side + 8)
    references = images.lerp(pictures(2, side, side + 8, seed=1), 0.2)
    theirs = multiscale_structural_similarity_index_measure(
        images.double(), references.double(), data_range=1.0, reduction="none"
    )
    found = METRICS.get("ms_ssim").score(images, ["x"] * 2, references)
    assert found == pytest.approx(theirs.tolist(), abs=1e-6)
    assert 0 < min(found) < max(found) < 1


@pytest.mark.parametrize(("scales", "edge"), SMALLEST.items())
def test_smaller_images_take_fewer_scales_of_the_same_total_weight(scales: int, edge: int) -> None:
    assert len(weights(edge, 500)) == scales
    assert sum(weights(500, edge)) == pytest.approx(sum(WEIGHTS))
    images = pictures(2, edge, edge)
    assert METRICS.get("ms_ssim").score(images, ["x"] * 2, images) == pytest.approx((1.0, 1.0), abs=1e-12)
    if scales > 2:
        assert len(weights(edge - 1, 500)) == scales - 1


def test_ms_ssim_lies_on_a_scale_with_ssim() -> None:
    """Noise that a coarser scale averages away counts less than in SSIM, which sees the finest alone."""
    images = pictures(1, 64, 64)
    noisy = (images + 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    fine = float(structural_similarity_index_measure(noisy, images, data_range=1.0))
    assert fine + 0.1 < METRICS.get("ms_ssim").score(noisy, ["x"], images)[0] < 1


@pytest.mark.parametrize(("height", "width"), [(21, 512), (512, 16)])
def test_images_too_small_for_ms_ssim_are_refused(height: int, width: int) -> None:
    with pytest.raises(InputError, match=f"{width}x{height} pixels: ms_ssim needs 22 or more"):
        METRICS.get("ms_ssim").check(height, width)
