"""The CLIP behind ``clip_score``: a model, its tokenizer, and its preprocessing on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import HastenError, InputError
from hasten.files import folder_at

if TYPE_CHECKING:
    import torch

MODES = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the filters that torch offers with antialiasing."""


@dataclass(frozen=True)
class Preprocessing:
    """The steps of a CLIP image processor, from its ``preprocessor_config.json``.

    ``resize`` is (height, width), or one number for the shorter edge; None keeps the size. ``crop`` is the size of
    the centre that is kept, (height, width); None keeps all.
    """

    resize: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Reads a processor's configuration. Raises InputError where it asks for an unknown filter."""
        resample = int(config.get("resample", 3))
        if resample not in MODES:
            raise InputError(f"The scorer's images are resized by filter {resample}: allowed are {MODES}.")
        return cls(
            resize=_size(config.get("size", 224)) if config.get("do_resize", True) else None,
            crop=_crop(config.get("crop_size", 224)) if config.get("do_center_crop", True) else None,
            mode=MODES[resample],
            mean=tuple(config["image_mean"]) if config.get("do_normalize", True) else (0.0, 0.0, 0.0),
            std=tuple(config["image_std"]) if config.get("do_normalize", True) else (1.0, 1.0, 1.0),
        )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the vision tower's input for images (n, 3, h, w) in 0..1, which are resized at 8 bits."""
        import torch

        images = _centre(self._resized(images), self.crop) if self.crop else self._resized(images)
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (images - mean) / std

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import interpolate

        height, width = images.shape[-2:]
        size = self.resize or (height, width)
        if isinstance(size, int):
            short = min(height, width)
            size = (int(size * height / short), int(size * width / short))
        pixels = (images * 255).round()
        for target in ((height, size[1]), size):  # like Pillow: rows, then columns, rounded half up
            if target != pixels.shape[-2:]:
                pixels = interpolate(pixels, target, mode=self.mode, antialias=True, align_corners=False)
                pixels = (pixels + 0.5).floor().clamp(0, 255)
        return pixels / 255


@dataclass
class ClipScorer:
    """A loaded CLIP. Each text is encoded once and its features are kept."""

    source: str
    model: Any
    tokenizer: Any
    preprocessing: Preprocessing
    _texts: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def similarity(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns the cosine of each image with its prompt, (n,), for images (n, 3, h, w) in 0..1 and n texts."""
        return (self.image_features(images) * self.text_features(prompts)).sum(-1)

    def image_features(self, images: torch.Tensor) -> torch.Tensor:
        """Returns unit vectors (n, d), float32, on the scorer's device, for images (n, 3, h, w) in 0..1."""
        import torch

        with torch.inference_mode():
            pixels = self.preprocessing(images.to(self.device, torch.float32)).to(self.model.dtype)
            return unit(self.model.get_image_features(pixel_values=pixels))

    def text_features(self, prompts: Sequence[str]) -> torch.Tensor:
        """Returns unit vectors (n, d), float32, on the scorer's device, for n texts cut at the model's length."""
        import torch

        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._texts]
        if new:
            length = self.model.config.text_config.max_position_embeddings
            tokens = self.tokenizer(new, padding=True, truncation=True, max_length=length, return_tensors="pt")
            with torch.inference_mode():
                features = unit(
                    self.model.get_text_features(
                        input_ids=tokens["input_ids"].to(self.device),
                        attention_mask=tokens["attention_mask"].to(self.device),
                    )
                )
            self._texts.update(zip(new, features, strict=True))
        return torch.stack([self._texts[prompt] for prompt in prompts])


@lru_cache(maxsize=2)
def load_scorer(scorer: str, device: str = "cpu") -> ClipScorer:
    """Returns the CLIP of that name: a folder of ``hasten/assets``, a local folder, or a hub id. It is kept once
    loaded.

    Raises:
        InputError: the CLIP cannot be loaded.
    """
    source = find_scorer(scorer)
    with loading(source, partial(_unusable, scorer)):
        from transformers import AutoTokenizer, CLIPModel

        model = whole_network(CLIPModel, source)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        preprocessing = Preprocessing.of(processor_config(source))
    return ClipScorer(scorer, model.to(device), tokenizer, preprocessing)


@contextmanager
def loading(source: str, unusable: Callable[[str], InputError]) -> Iterator[None]:
    """Turns any error that a library raises for malformed files into InputError.

    ``unusable`` builds that InputError from a reason.
    """
    from hasten.models import quiet_loading

    try:
        with quiet_loading(bars=not Path(source).is_dir()):
            yield
    except HastenError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise unusable(reason.rstrip(".")) from error


def _unusable(scorer: str, reason: str) -> InputError:
    return InputError(
        f"The scorer {scorer!r} cannot be loaded: {reason}. Give a CLIP model's folder or hub id; without a "
        "connection, download it elsewhere and give its folder."
    )


def whole_network(cls: Any, source: str) -> Any:
    """Returns a network of transformers with all of its weights. Raises InputError where some are missing.

    No code from a folder or hub id is run: neither its own modules nor the contents of a pickle.
    """
    from hasten.models import checked

    return checked(cls.from_pretrained(source, output_loading_info=True, weights_only=True), source).eval()


def find_scorer(scorer: str) -> str:
    """Returns a CLIP's folder or hub id without reading any of it. Raises InputError where there is none."""
    from hasten.models import ASSETS, source_at

    if Path(scorer).name == scorer and (asset := folder_at(ASSETS / scorer)):
        return str(asset)
    if (source := source_at(scorer)) is not None:
        return source
    raise InputError(
        f"No scorer {scorer!r}. Give a CLIP model's folder or hub id, e.g. 'openai/clip-vit-base-patch32'."
    )


def scorer_folder(scorer: str) -> Path | None:
    """Returns the folder with a scorer's files: in ``hasten/assets``, a local folder, or in the hub's cache.
    Returns None where they are not yet downloaded, or there is no such scorer."""
    from huggingface_hub import try_to_load_from_cache

    try:
        source = find_scorer(scorer)
    except InputError:
        return None
    if Path(source).is_dir():
        return Path(source)
    kept = try_to_load_from_cache(source, "config.json") if source.count("/") == 1 else None
    return Path(kept).parent if isinstance(kept, str) else None


def processor_config(source: str) -> dict[str, Any]:
    """Returns the image processor's configuration. The processor itself is not loaded: it may need torchvision."""
    from transformers.image_processing_base import ImageProcessingMixin

    config: dict[str, Any] = ImageProcessingMixin.get_image_processor_dict(source)[0]
    return config


def unit(features: Any) -> torch.Tensor:
    """Returns unit vectors. transformers 5 wraps the projected features in an output, 4 returns them bare."""
    features = getattr(features, "pooler_output", features).float()
    return features / features.norm(dim=-1, keepdim=True)


def cosines(one: torch.Tensor, other: torch.Tensor) -> tuple[float, ...]:
    """Returns the cosine of each pair of unit vectors, (n, d) and (n, d). It is exactly 1 where they are equal."""
    found: list[float] = (1 - (one.double() - other.double()).square().sum(-1) / 2).tolist()
    return tuple(found)


def _size(size: Any) -> tuple[int, int] | int:
    if isinstance(size, int):
        return size
    return int(size["shortest_edge"]) if "shortest_edge" in size else (int(size["height"]), int(size["width"]))


def _crop(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size["height"]), int(size["width"]))


def _centre(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Returns the centre of that size. Images that are too small are padded with black, as the processor does."""
    from torch.nn.functional import pad

    (height, width), (h, w) = images.shape[-2:], size
    more_h, more_w = max(h - height, 0), max(w - width, 0)
    if more_h or more_w:
        sides = ((more_w + 1) // 2, more_w // 2, (more_h + 1) // 2, more_h // 2)
        images = pad(images, sides)
        height, width = images.shape[-2:]
    top, left = (height - h) // 2, (width - w) // 2
    return images[..., top : top + h, left : left + w]
