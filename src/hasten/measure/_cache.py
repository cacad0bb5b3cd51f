"""Baseline images on disk, so that another process need not draw them again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from hasten.errors import HastenError
from hasten.files import save, save_bytes
from hasten.records import Split
from hasten.task import Setting

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class ImageCache:
    """PNG files (8 bits, lossless) in a folder named by everything that the images depend on.

    That is the setting, and a bench's identity without the scorer.
    """

    def __init__(self, folder: str | Path, setting: Setting, identity: Mapping[str, str]) -> None:
        what = {"setting": setting.key(), **{k: v for k, v in identity.items() if k != "scorer"}}
        text = json.dumps(what, sort_keys=True, indent=1)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._broken = False
        self._keep(lambda: save(text, self.folder / "key.json"))

    def load(self, split: Split, index: int, steps: int) -> torch.Tensor | None:
        """Returns the image (3, h, w), uint8, or None where it is missing or not a whole image."""
        import numpy as np
        import torch
        from PIL import Image

        try:
            with Image.open(self._path(split, index, steps)) as image:
                return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        except (OSError, SyntaxError):  # Pillow calls some broken PNG files a syntax error
            return None

    def save(self, split: Split, index: int, steps: int, image: torch.Tensor) -> None:
        """Stores an image (3, h, w), uint8, in one step, so that a killed process leaves no partial file.

        A cache that cannot be written is no failure: one warning tells of it, and nothing more is stored.
        """
        from PIL import Image

        drawn = BytesIO()
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(drawn, format="PNG")
        self._keep(lambda: save_bytes(drawn.getvalue(), self._path(split, index, steps)))

    def _keep(self, write: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            write()
        except HastenError as error:
            self._broken = True
            logger.warning("The baseline's images are not kept for later: %s", error)

    def _path(self, split: Split, index: int, steps: int) -> Path:
        return self.folder / f"{split}-{steps}-steps-{index}.png"
