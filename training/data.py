"""The training data: emoji artwork pasted on plain backgrounds, made on the fly on the training device."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from objects import COLOURS, OBJECTS, caption_of, pairs

SIDE, OBJECT_SIDE, JITTER = 64, 48, 4
COLOUR_NOISE = 0.02


def pack(archive: Path, out: Path) -> None:
    """Takes the chosen 64-pixel PNGs from the npm archive, scales them to 48 pixels, and saves one array.

    Args:
        archive: ``emoji-datasource-google-16.0.0.tgz`` as ``npm pack`` leaves it.
        out: npz file; ``art`` is (objects, 48, 48, 4) uint8, RGBA, in the order of ``OBJECTS``.
    """
    with tarfile.open(archive) as tar:
        index = {e["short_name"]: e["image"] for e in json.load(tar.extractfile("package/emoji.json"))}
        names = [f"package/img/google/64/{index[short]}" for short in OBJECTS]
        art = [Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGBA") for name in names]
    small = [np.asarray(image.resize((OBJECT_SIDE, OBJECT_SIDE), Image.LANCZOS)) for image in art]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, art=np.stack(small))


class Composites:
    """Draws batches of (image, pair) on ``device``; images are (n, 3, 64, 64) in −1 to 1."""

    def __init__(self, path: Path, device: str, seed: int) -> None:
        art = torch.from_numpy(np.load(path)["art"]).to(device).float().permute(0, 3, 1, 2) / 255
        self.alpha, self.premultiplied = art[:, 3:], art[:, :3] * art[:, 3:]
        self.colours = torch.tensor(list(COLOURS.values()), device=device).float() / 255
        self.random = torch.Generator(device).manual_seed(seed)
        self.device = device
        trained, held_out = pairs()
        self.trained = torch.tensor(trained, device=device)
        self.held_out = torch.tensor(held_out, device=device)

    def draw(self, chosen: torch.Tensor) -> torch.Tensor:
        """One image for each (object, colour) row of ``chosen``, with random place, mirror and shade."""
        n = len(chosen)
        foreground = torch.cat([self.premultiplied, self.alpha], 1)[chosen[:, 0]]
        mirror = torch.rand(n, 1, 1, 1, device=self.device, generator=self.random) < 0.5
        foreground = torch.where(mirror, foreground.flip(-1), foreground)
        canvas = self._place(foreground)
        shade = torch.randn(n, 3, device=self.device, generator=self.random) * COLOUR_NOISE
        background = (self.colours[chosen[:, 1]] + shade).clamp(0, 1)[:, :, None, None]
        return (canvas[:, :3] + (1 - canvas[:, 3:]) * background) * 2 - 1

    def batch(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``n`` distinct trained pairs and their images; more than there are pairs are drawn with repeats."""
        count = len(self.trained)
        rows = [torch.randperm(count, device=self.device, generator=self.random) for _ in range(-(-n // count))]
        chosen = self.trained[torch.cat(rows)[:n]]
        return self.draw(chosen), chosen

    def _place(self, foreground: torch.Tensor) -> torch.Tensor:
        n, margin = len(foreground), (SIDE - OBJECT_SIDE) // 2
        shift = torch.randint(-JITTER, JITTER + 1, (2, n, 1), device=self.device, generator=self.random)
        line = torch.arange(SIDE, device=self.device)[None] - margin
        rows, columns = line - shift[0], line - shift[1]
        inside = ((rows >= 0) & (rows < OBJECT_SIDE))[:, None, :, None]
        inside = inside & ((columns >= 0) & (columns < OBJECT_SIDE))[:, None, None, :]
        rows, columns = rows.clamp(0, OBJECT_SIDE - 1), columns.clamp(0, OBJECT_SIDE - 1)
        image = torch.arange(n, device=self.device)[:, None, None]
        placed = foreground.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
        return placed.permute(0, 3, 1, 2) * inside


def captions(chosen: torch.Tensor) -> list[str]:
    """The captions of (object, colour) rows."""
    return [caption_of((thing, colour)) for thing, colour in chosen.tolist()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=pack.__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "work" / "emoji.npz")
    options = parser.parse_args()
    pack(options.archive, options.out)
    print(f"{len(OBJECTS)} objects in {options.out}")
