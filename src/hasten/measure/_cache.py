"""Baseline images on disk, so that a second process need not draw them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hasten.errors import InputError
from hasten.records import Split
from hasten.task import Setting

if TYPE_CHECKING:
    import torch


class ImageCache:
    """PNG files (8 bits, lossless) in a folder named by all that the images depend on.

    That is the setting, and of a bench's identity all but the scorer.
    """

    def __init__(self, folder: str | Path, setting: Setting, identity: Mapping[str, str]) -> None:
        what = {"setting": setting.key(), **{k: v for k, v in identity.items() if k != "scorer"}}
        text = json.dumps(what, sort_keys=True, indent=1)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "key.json").write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"The cache folder {str(folder)!r} cannot be written: {error}.") from None

    def load(self, split: Split, index: int, steps: int) -> torch.Tensor | None:
        """The image (3, h, w), uint8; None when it is not there, or is no whole image."""
        import numpy as np
        import torch
        from PIL import Image

        try:
            with Image.open(self._path(split, index, steps)) as image:
                return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        except (OSError, SyntaxError):  # Pillow calls some broken PNG files a syntax error
            return None

    def save(self, split: Split, index: int, steps: int, image: torch.Tensor) -> None:
        """Keeps an image (3, h, w), uint8; whole or not at all, also when killed meanwhile."""
        from PIL import Image

        path = self._path(split, index, steps)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(draft, format="PNG")
        draft.replace(path)

    def _path(self, split: Split, index: int, steps: int) -> Path:
        return self.folder / f"{split}-{steps}-steps-{index}.png"
