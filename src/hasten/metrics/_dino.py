"""The DINOv2 model behind ``dinov2``: its source, its loading, and its feature vectors of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.metrics._scorer import Preprocessing, loading, processor_config, unit, whole_network

if TYPE_CHECKING:
    import torch

DEFAULT = "facebook/dinov2-base"
VARIABLE = "HASTEN_DINOV2"
KINDS = ("dinov2", "dinov2_with_registers")


def named_dino() -> str | None:
    """Returns the hub id or folder that the environment variable ``HASTEN_DINOV2`` names."""
    return os.environ.get(VARIABLE, "").strip() or None


def dino_source() -> str:
    """Returns the hub id or folder of the model: the one named by the environment, or ViT-B/14."""
    return named_dino() or DEFAULT


def find_dino(source: str) -> None:
    """Raises InputError where a source is neither a folder nor a hub id, for example a file without a model."""
    from hasten.models import source_at

    if source_at(source) is None:
        raise _unusable(source, "there is no such folder")


@dataclass(frozen=True)
class Dino:
    """A loaded DINOv2 with its preprocessing."""

    model: Any
    preprocessing: Preprocessing

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Returns unit vectors (n, d), float32, of the class token after the last norm. ``images``: (n, 3, h, w),
        0..1."""
        import torch

        with torch.inference_mode():
            pixels = self.preprocessing(images.to(self.model.device, torch.float32))
            return unit(self.model(pixel_values=pixels.to(self.model.dtype)))


@lru_cache(maxsize=1)
def load_dino(source: str, device: str = "cpu") -> Dino:
    """Returns the DINOv2 of a local folder or hub id. It is kept once loaded.

    Raises:
        InputError: the model cannot be loaded, or is of another kind.
    """
    with loading(source, partial(_unusable, source)):
        from transformers import AutoConfig, Dinov2Model, Dinov2WithRegistersModel

        kind = AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
        if kind not in KINDS:
            raise ValueError(f"it is a {kind} model, not one of {', '.join(KINDS)}")
        model = whole_network(Dinov2Model if kind == KINDS[0] else Dinov2WithRegistersModel, source)
        preprocessing = Preprocessing.of(processor_config(source))
    return Dino(model.to(device), preprocessing)


def _unusable(source: str, reason: str) -> InputError:
    return InputError(
        f"The DINOv2 model {source!r} cannot be loaded: {reason}. Set {VARIABLE} to the hub id or the folder "
        f"of one, such as {DEFAULT}; without a connection, download it elsewhere and give its folder."
    )
