"""How well a model draws scenes and emoji-clip reads them: retrieval, attributes, planted faults, a sheet.

    python evaluate.py --model emoji-sd --guidance 2 3 4 --sheet sheet.png

Retrieval is the share of images whose own caption emoji-clip ranks first among 256; attributes the share of
things, numbers, layouts, colours and patterns that it reads as the caption says, against alternatives.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import models
from assemble import PIPELINES
from captions import TOKENS, scene_of
from data import COUNT, LAYOUT, SEVERAL, Scenes
from hasten.scenes import alternatives, caption, parse
from train import blur, check_vae, clip_image, clip_text

HERE = Path(__file__).parent
CANDIDATES = 256
BATCH = 64


class Reader:
    """emoji-clip."""

    def __init__(self, folder: Path, device: str) -> None:
        self.clip, self.words, self.device = models.clip_of(folder).to(device), models.words_of(folder), device

    @torch.no_grad()
    def texts(self, texts: list[str]) -> torch.Tensor:
        ids = models.encode(self.words, texts, self.device)
        return torch.cat([clip_text(self.clip, part) for part in ids.split(2048)])

    @torch.no_grad()
    def images(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([clip_image(self.clip, part) for part in images.split(BATCH)])

    def attributes(self, image: torch.Tensor, texts: list[str]) -> dict[str, float]:
        """Share of images read right, for each attribute, and over all of them."""
        right: dict[str, list[bool]] = {}
        for own, text in zip(image, texts, strict=True):
            scene = parse(text)
            groups = alternatives(scene)
            every = [text, *(caption(other) for others in groups.values() for other in others)]
            cosines = (self.texts(every) @ own).tolist()
            start = 1
            for name, others in groups.items():
                right.setdefault(name, []).append(cosines[0] > max(cosines[start : start + len(others)]))
                start += len(others)
        shares = {name: sum(found) / len(found) for name, found in right.items()}
        total = sum(map(len, right.values()))
        return {**shares, "all": sum(map(sum, right.values())) / total}


def report(name: str, reader: Reader, images: torch.Tensor, specs: torch.Tensor, attributes: int = 64) -> None:
    """One line: CLIP score, retrieval among 256, attributes of the first images."""
    texts = [caption(scene_of(spec)) for spec in specs.tolist()]
    image, text = reader.images(images), reader.texts(texts)
    cosines = image @ text.T
    own = cosines.diagonal()
    found = (cosines.argmax(1) == torch.arange(len(specs), device=cosines.device)).float().mean().item()
    shares = reader.attributes(image[:attributes], texts[:attributes])
    said = " ".join(f"{k} {v:.3f}" for k, v in shares.items())
    print(f"{name}: clip {100 * own.mean().item():.2f} retrieval {found:.3f} attributes: {said}", flush=True)


def faults(reader: Reader, scenes: Scenes, n: int = 256) -> None:
    """What each planted fault costs of the mean score."""
    specs, chance = scenes.sample(n), scenes.chance(n)
    text = reader.texts([caption(scene_of(spec)) for spec in specs.tolist()])

    def score(images: torch.Tensor, rows: torch.Tensor | slice = slice(None)) -> float:
        return (reader.images(images) * text[rows]).sum(-1).mean().item()

    real = scenes.draw(specs, chance)
    number = torch.where(specs[:, LAYOUT] == SEVERAL, specs[:, COUNT], scenes.named[specs[:, LAYOUT]])
    pairs = (specs[:, LAYOUT] >= 1) & (specs[:, LAYOUT] <= 3)
    half = torch.arange(n, device=specs.device) % 2 == 0
    swapped = torch.where((half & pairs)[:, None], scenes._tidy(scenes._swapped(specs.clone())), specs)
    patterned = scenes._tidy(scenes._pattern(specs.clone()))
    coloured = scenes._tidy(scenes._colour(specs.clone()))
    planted = {
        "half swapped": (scenes.draw(swapped, chance), pairs),
        "blurred, 1 pixel": (blur(real, torch.full((n,), 1.0, device=specs.device)), slice(None)),
        "blurred, 2 pixels": (blur(real, torch.full((n,), 2.0, device=specs.device)), slice(None)),
        "wrong pattern": (scenes.draw(patterned, chance), slice(None)),
        "wrong colour": (scenes.draw(coloured, chance), slice(None)),
        "one dropped": (scenes.draw(specs, chance, torch.where(number > 1, 0, -1)), number > 1),
    }
    for name, (images, rows) in planted.items():
        sound = score(real[rows], rows)
        print(f"fault {name}: {sound:.4f} falls by {1 - score(images[rows], rows) / sound:.3f}", flush=True)


def draw(pipe: Any, texts: list[str], steps: int, guidance: float, seed: int = 0) -> torch.Tensor:
    """(n, 3, 128, 128) in −1 to 1; each image has a seed of its own, so batches do not matter."""
    made = []
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        how = {
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "generator": generators,
            **_as_trained(pipe),
        }
        made.append(pipe(part, output_type="pt", **how).images.float() * 2 - 1)
    return torch.cat(made)


def _as_trained(pipe: Any) -> dict[str, Any]:
    """PixArt would draw at 256 pixels or more and scale that down; it and SD3 take far more tokens unless told."""
    wanted = {"use_resolution_binning": False, "clean_caption": False, "max_sequence_length": TOKENS}
    return {name: value for name, value in wanted.items() if name in inspect.signature(pipe.__call__).parameters}


def sheet(images: torch.Tensor, file: Path, columns: int = 8) -> None:
    """Saves images in −1 to 1, row by row."""
    bands = images.clamp(-1, 1).cpu().split(columns)
    grid = torch.cat([torch.cat(list(band), 2) for band in bands], 1)
    Image.fromarray(((grid + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()).save(file, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=PIPELINES, default="emoji-sd")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--art", type=Path, default=HERE / "work" / "emoji64.npz")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, nargs="+", default=[3.0])
    parser.add_argument("--samples", type=int, default=CANDIDATES)
    parser.add_argument("--attributes", type=int, default=64, help="images whose attributes are read")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path, metavar="PNG")
    parser.add_argument("--real", action="store_true", help="real scenes only: the VAE, the CLIP and the faults")
    options = parser.parse_args()
    scenes, reader = Scenes(options.art, options.device, seed=1000), Reader(options.work, options.device)
    print("vae:", check_vae(models.vae_of(options.work).to(options.device), scenes, 64), flush=True)
    sets = {kind: scenes.sample(options.samples, withheld=kind == "withheld") for kind in ("trained", "withheld")}
    for kind, specs in sets.items():
        real = scenes.draw(specs, scenes.chance(len(specs)))
        report(f"real, {kind}", reader, real, specs, options.attributes)
    faults(reader, scenes, options.samples)
    if options.real:
        return
    pipe, shown = PIPELINES[options.model](options.work).to(options.device), []
    pipe.set_progress_bar_config(disable=True)
    for guidance in options.guidance:
        for kind, specs in sets.items():
            texts = [caption(scene_of(spec)) for spec in specs.tolist()]
            images = draw(pipe, texts, options.steps, guidance)
            shown.append(images[: 24 if kind == "trained" else 8])
            report(f"guidance {guidance}, {kind}", reader, images, specs, options.attributes)
        if options.sheet:
            sheet(torch.cat(shown), options.sheet)
    for kind, specs in sets.items():
        print(kind, [caption(scene_of(spec)) for spec in specs[: 24 if kind == "trained" else 8].tolist()])


if __name__ == "__main__":
    main()
