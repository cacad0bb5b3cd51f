"""How well an emoji model draws and emoji-clip scores: caption retrieval, background colours, a contact sheet.

    python evaluate.py --scheduler DDIM --steps 25 --guidance 2.0
    python evaluate.py --model work/emoji-pixart --sheet ../docs/images/emoji-pixart.png

Retrieval is the share of images whose own caption emoji-clip ranks first among 64; background the share
whose corners are nearest to the named colour; clip the mean CLIP score (100 × cosine) with the own caption.
"""

from __future__ import annotations

import argparse
import inspect
import random
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from hasten.schedulers import SCHEDULERS, find_scheduler, scheduler_names
from objects import COLOURS, OBJECTS, caption_of, pairs

HERE = Path(__file__).parent
ASSETS = HERE.parent / "src" / "hasten" / "assets"
ART = HERE / "work" / "emoji.npz"
CANDIDATES = 64
TOKENS = 16
CORNER = 3
BATCH = 16
SHEET_TRAINED, SHEET_HELD_OUT, SHEET_COLUMNS = 24, 8, 8
TABLE = "{:<13} {:>5} {:>8} {:<9} {:>6} {:>9} {:>10} {:>6}"

Pair = tuple[int, int]


class Scorer:
    """emoji-clip with the embeddings of every caption, in the order of ``row``."""

    def __init__(self, folder: Path, device: str) -> None:
        self.clip = CLIPModel.from_pretrained(folder, torch_dtype=torch.float32).to(device).eval()
        words = CLIPTokenizer.from_pretrained(folder)
        every = [caption_of((o, c)) for o in range(len(OBJECTS)) for c in range(len(COLOURS))]
        ids = words(every, padding="max_length", return_tensors="pt").input_ids.to(device)
        with torch.no_grad():
            text = self.clip.text_projection(self.clip.text_model(ids).pooler_output)
        self.text = text / text.norm(dim=-1, keepdim=True)

    def similarity(self, images: torch.Tensor) -> torch.Tensor:
        """(n, captions) cosines of (n, 3, 64, 64) images in −1 to 1, on the processor."""
        with torch.no_grad():
            image = self.clip.visual_projection(self.clip.vision_model(images).pooler_output)
        return ((image / image.norm(dim=-1, keepdim=True)) @ self.text.T).cpu()


def row(pair: Pair) -> int:
    """The place of a pair's caption among all captions."""
    return pair[0] * len(COLOURS) + pair[1]


def retrieval(similarity: torch.Tensor, chosen: list[Pair], seed: int = 0) -> float:
    """Share of images whose own caption scores best among itself and 63 random other captions."""
    dice = random.Random(seed)
    right = 0
    for scores, own in zip(similarity, map(row, chosen), strict=True):
        others = dice.sample([r for r in range(len(scores)) if r != own], CANDIDATES - 1)
        right += bool(scores[own] > scores[others].max())
    return right / len(chosen)


def backgrounds(images: torch.Tensor, chosen: list[Pair]) -> float:
    """Share of images whose mean colour in the four corners is nearest to the named background."""
    palette = torch.tensor(list(COLOURS.values()), device=images.device) / 255 * 2 - 1
    rows = torch.cat([images[:, :, :CORNER], images[:, :, -CORNER:]], 2)
    corners = torch.cat([rows[..., :CORNER], rows[..., -CORNER:]], 3).mean((2, 3))
    named = torch.tensor([colour for _, colour in chosen], device=images.device)
    return (torch.cdist(corners, palette).argmin(-1) == named).float().mean().item()


def sample(every: list[Pair], count: int) -> list[Pair]:
    """``count`` pairs at random, always the same ones; all of them where there are no more."""
    return random.Random(0).sample(every, min(count, len(every)))


def draw(pipe: Any, chosen: list[Pair], steps: int, guidance: float, seed: int = 0) -> torch.Tensor:
    """(n, 3, 64, 64) images in −1 to 1; each has a seed of its own, so batches do not matter."""
    made = []
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        images = pipe(
            [caption_of(pair) for pair in part],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="pt",
            **_as_trained(pipe),
        ).images
        made.append(images.float() * 2 - 1)
    return torch.cat(made)


def fitting(pipe: Any) -> list[str]:
    """The schedulers for what the model was trained by, flow matching or diffusion; the usual one first."""
    flow_matching = next(s.flow_matching for s in SCHEDULERS if s.is_that_of(pipe.scheduler))
    return [s.name for s in SCHEDULERS if s.flow_matching == flow_matching]


def _as_trained(pipe: Any) -> dict[str, Any]:
    """PixArt would draw at 256 pixels or more and scale that down; it and SD3 take far more tokens unless told."""
    wanted = {"use_resolution_binning": False, "clean_caption": False, "max_sequence_length": TOKENS}
    return {name: value for name, value in wanted.items() if name in inspect.signature(pipe.__call__).parameters}


def composites(scorer: Scorer, art: Path, device: str) -> str:
    """emoji-clip's own retrieval on images composed as for training, of the held-out pairs."""
    if not art.exists():
        return f"composites, held-out pairs: left out, there is no {art} (data.py makes it)"
    from data import Composites

    chosen = pairs()[1] * 8
    images = Composites(art, device, seed=1).draw(torch.tensor(chosen, device=device))
    retrieved, background, clip = scores(scorer, images, chosen)
    return (
        f"composites, held-out pairs: retrieval {retrieved}, background {background}, clip {clip} of {len(chosen)}"
    )


def table(pipe: Any, scorer: Scorer, options: argparse.Namespace) -> None:
    """One line for each scheduler, guidance, and kind of pairs."""
    print(TABLE.format("scheduler", "steps", "guidance", "pairs", "images", "retrieval", "background", "clip"))
    own_config = pipe.scheduler.config
    for name in options.scheduler:
        pipe.scheduler = find_scheduler(name).build(own_config)
        for guidance in options.guidance:
            for label, every in zip(("trained", "held-out"), pairs(), strict=True):
                chosen = sample(every, options.samples)
                images = draw(pipe, chosen, options.steps, guidance)
                figures = scores(scorer, images, chosen)
                line = TABLE.format(name, options.steps, guidance, label, len(chosen), *figures)
                print(line, flush=True)


def scores(scorer: Scorer, images: torch.Tensor, chosen: list[Pair]) -> tuple[str, str, str]:
    """Retrieval, background share and CLIP score, as the table shows them."""
    similarity = scorer.similarity(images)
    own = similarity[range(len(chosen)), [row(pair) for pair in chosen]].mean().item()
    return (
        f"{retrieval(similarity, chosen):.3f}",
        f"{backgrounds(images, chosen):.3f}",
        f"{100 * own:.2f}",
    )


def sheet(pipe: Any, options: argparse.Namespace) -> None:
    """Saves a contact sheet of the first scheduler: three rows of trained pairs, one of held-out pairs."""
    trained, held_out = pairs()
    chosen = [trained[i * len(trained) // SHEET_TRAINED] for i in range(SHEET_TRAINED)]
    chosen += [held_out[i * len(held_out) // SHEET_HELD_OUT] for i in range(SHEET_HELD_OUT)]
    pipe.scheduler = find_scheduler(options.scheduler[0]).build(pipe.scheduler.config)
    images = draw(pipe, chosen, options.steps, options.guidance[0])
    bands = images.cpu().chunk(len(chosen) // SHEET_COLUMNS)
    grid = torch.cat([torch.cat(list(band), 2) for band in bands], 1)
    pixels = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels)
    options.sheet.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * 2, picture.height * 2), Image.NEAREST).save(options.sheet, optimize=True)
    for number, pair in enumerate(chosen):
        print(f"row {number // SHEET_COLUMNS + 1}, {number % SHEET_COLUMNS + 1}: {caption_of(pair)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ASSETS / "emoji-sd", help="folder of the model that draws")
    parser.add_argument("--clip", type=Path, default=ASSETS / "emoji-clip", help="folder of the model that scores")
    parser.add_argument("--art", type=Path, default=ART, help="what data.py made, for the composites")
    parser.add_argument("--scheduler", nargs="+", choices=scheduler_names(), help="unless told, all that fit")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.0])
    parser.add_argument("--samples", type=int, default=96, help="images of trained and of held-out pairs, each")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw a contact sheet instead of the table")
    options = parser.parse_args()
    pipe = DiffusionPipeline.from_pretrained(options.model, torch_dtype=torch.float32)
    pipe = pipe.to(options.device)
    pipe.set_progress_bar_config(disable=True)
    options.scheduler = options.scheduler or fitting(pipe)
    if options.sheet:
        sheet(pipe, options)
        return
    scorer = Scorer(options.clip, options.device)
    print(composites(scorer, options.art, options.device))
    table(pipe, scorer, options)


if __name__ == "__main__":
    main()
