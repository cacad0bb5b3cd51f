"""How well the models draw and score: caption retrieval, background colours, a contact sheet.

python evaluate.py --scheduler DDIM --steps 25 --guidance 2.0
"""

from __future__ import annotations

import argparse
from pathlib import Path

import diffusers
import torch
from PIL import Image
from transformers import CLIPModel

import models
from assemble import pipeline
from data import Composites, captions
from objects import COLOURS, caption_of
from train import _all_captions

HERE = Path(__file__).parent
SCHEDULERS = {
    "DDIM": "DDIMScheduler", "DPM-Solver++": "DPMSolverMultistepScheduler", "UniPC": "UniPCMultistepScheduler",
    "Euler": "EulerDiscreteScheduler", "Euler-a": "EulerAncestralDiscreteScheduler", "PNDM": "PNDMScheduler",
    "Heun": "HeunDiscreteScheduler", "LCM": "LCMScheduler",
}  # fmt: skip


class Scorer:
    """emoji-clip with the embeddings of every caption."""

    def __init__(self, folder: Path, device: str) -> None:
        self.clip = CLIPModel.from_pretrained(folder).to(device).float().eval()
        words = models.tokenizer(folder)
        with torch.no_grad():
            ids = models.encode(words, _all_captions(), device)
            text = self.clip.text_projection(self.clip.text_model(ids).pooler_output)
        self.text = text / text.norm(dim=-1, keepdim=True)

    def similarity(self, images: torch.Tensor) -> torch.Tensor:
        """(n, captions) cosines for images in −1 to 1."""
        with torch.no_grad():
            image = self.clip.visual_projection(self.clip.vision_model(images).pooler_output)
        return (image / image.norm(dim=-1, keepdim=True)) @ self.text.T


def retrieval(similarity: torch.Tensor, chosen: torch.Tensor, seed: int = 0) -> float:
    """Share of images whose own caption scores best among itself and 63 random other pairs."""
    rows = (chosen[:, 0] * len(COLOURS) + chosen[:, 1]).tolist()
    random = torch.Generator().manual_seed(seed)
    right = 0
    for scores, row in zip(similarity.cpu(), rows, strict=True):
        others = [r for r in torch.randperm(len(scores), generator=random)[:64].tolist() if r != row][:63]
        right += bool(scores[row] > scores[others].max())
    return right / len(rows)


def backgrounds(images: torch.Tensor, chosen: torch.Tensor) -> float:
    """Share of images whose mean colour in the four corners is nearest to the named background."""
    palette = torch.tensor(list(COLOURS.values()), device=images.device) / 255 * 2 - 1
    corners = torch.cat(
        [
            images[:, :, a, b].flatten(2)
            for a in (slice(0, 3), slice(-3, None))
            for b in (slice(0, 3), slice(-3, None))
        ],
        -1,
    )
    return (torch.cdist(corners.mean(-1), palette).argmin(-1) == chosen[:, 1]).float().mean().item()


def draw(pipe, chosen: torch.Tensor, steps: int, guidance: float, seed: int = 0) -> torch.Tensor:
    """Images in −1 to 1 for (object, colour) rows."""
    out = []
    for start in range(0, len(chosen), 128):
        part = chosen[start : start + 128]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        made = pipe(
            captions(part),
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="pt",
        )
        out.append(made.images.float() * 2 - 1)
    return torch.cat(out)


def sheet(images: torch.Tensor, columns: int, path: Path) -> None:
    """A contact sheet, each image doubled in size."""
    n, _, h, w = images.shape
    grid = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    grid = (
        grid.reshape(n // columns, columns, 3, h, w)
        .permute(0, 3, 1, 4, 2)
        .reshape(n // columns * h, columns * w, 3)
    )
    Image.fromarray(grid.numpy()).resize((columns * w * 2, n // columns * h * 2), Image.NEAREST).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--scheduler", nargs="+", default=["DDIM"], choices=list(SCHEDULERS))
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.0])
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    data = Composites(options.work / "emoji.npz", options.device, seed=1)
    scorer = Scorer(options.work / "emoji-clip", options.device)
    real = data.held_out.repeat(8, 1)
    print(f"composites, held-out pairs: {retrieval(scorer.similarity(data.draw(real)), real):.3f} of {len(real)}")
    pipe = pipeline(options.work).to(options.device)
    pipe.set_progress_bar_config(disable=True)
    trained = data.trained[
        torch.randperm(len(data.trained), generator=torch.Generator().manual_seed(0))[: options.samples]
    ]
    for name in options.scheduler:
        pipe.scheduler = getattr(diffusers, SCHEDULERS[name]).from_config(models.scheduler().config)
        for guidance in options.guidance:
            for label, chosen in (("trained", trained), ("held-out", data.held_out[: options.samples])):
                images = draw(pipe, chosen, options.steps, guidance)
                likeness = scorer.similarity(images)
                own = likeness[torch.arange(len(chosen)), chosen[:, 0] * len(COLOURS) + chosen[:, 1]].mean().item()
                print(
                    f"{name} {options.steps} guidance {guidance} {label}: retrieval {retrieval(likeness, chosen):.3f} "
                    f"background {backgrounds(images, chosen):.3f} clip {100 * own:.2f}",
                    flush=True,
                )
    if options.sheet:
        every = [data.trained[i * 28] for i in range(24)] + [data.held_out[i * 11] for i in range(8)]
        pipe.scheduler = models.scheduler()
        sheet(draw(pipe, torch.stack(every), options.steps, options.guidance[0]), 8, options.sheet)
        print([caption_of(tuple(p.tolist())) for p in every])


if __name__ == "__main__":
    main()
