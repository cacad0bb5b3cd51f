"""Trains the embedded models in three stages: VAE, CLIP, UNet. Resumable and seeded.

    python train.py unet --steps 7500 --batch 384

The UNet needs the other two. Each stage goes on from its checkpoint in ``--out``. ``--seconds`` bounds a
stage by time instead: its learning rate then follows the clock.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

import models
from data import Composites
from objects import COLOURS, OBJECTS, caption_of

HERE = Path(__file__).parent
SAVE_EVERY_S = 60
DROP_CAPTION = 0.1
EMA_DECAY = 0.9995


class Run:
    """One stage's optimiser, learning rate, average of the weights, and checkpoints."""

    def __init__(self, name: str, modules: dict[str, torch.nn.Module], options: argparse.Namespace, **how: float):
        self.name, self.modules, self.options = name, modules, options
        self.parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
        self.ema = [p.detach().clone() for p in self.parameters]
        self.peak, self.floor = how["rate"], how["rate"] * 0.02
        decay = how.get("weight_decay", 0.01)
        self.optimiser = torch.optim.AdamW(
            self.parameters, self.peak, betas=(0.9, 0.99), weight_decay=decay, fused=options.device == "cuda"
        )
        self.file = options.out / f"{name}.pt"
        self.step, self.spent = 0, 0.0
        if self.file.exists():
            self._load()

    def progress(self) -> float:
        if self.options.seconds:
            return min(1.0, self.spent / self.options.seconds)
        return min(1.0, self.step / self.options.steps)

    def loop(self) -> Iterator[int]:
        """Yields step numbers until the stage is done; saves once a minute and at the end."""
        last = saved = time.monotonic()
        while self.progress() < 1:
            warm = min(1.0, (self.step + 1) / 200)
            cosine = 0.5 * (1 + math.cos(math.pi * self.progress()))
            for group in self.optimiser.param_groups:
                group["lr"] = warm * (self.floor + (self.peak - self.floor) * cosine)
            yield self.step
            self.step += 1
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if now - saved > SAVE_EVERY_S:
                self._save()
                saved = now
        self._save()
        for p, average in zip(self.parameters, self.ema, strict=True):
            p.data.copy_(average)

    def update(self, loss: torch.Tensor) -> None:
        """One optimiser step; the average follows."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - decay)
        if self.step % 200 == 0:
            print(f"{self.name} step {self.step} {self.spent:.0f}s loss {loss.item():.4f}", flush=True)

    def _save(self) -> None:
        state = {
            "modules": {k: m.state_dict() for k, m in self.modules.items()},
            "ema": self.ema,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        aside = self.file.with_suffix(".tmp")
        torch.save(state, aside)
        aside.rename(self.file)

    def _load(self) -> None:
        state = torch.load(self.file, map_location=self.options.device, weights_only=True)
        for k, m in self.modules.items():
            m.load_state_dict(state["modules"][k])
        for average, kept in zip(self.ema, state["ema"], strict=True):
            average.copy_(kept)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent = state["step"], state["spent"]


def train_vae(data: Composites, options: argparse.Namespace) -> None:
    """Pixels, edges, and a small pull of the latents towards a unit Gaussian."""
    vae = models.vae().to(options.device, memory_format=torch.channels_last)
    run = Run("vae", {"vae": vae}, options, rate=1e-3)
    for _ in run.loop():
        images, _pairs = data.batch(options.batch)
        with _bf16(options):
            posterior = vae.encode(images.to(memory_format=torch.channels_last)).latent_dist
            rebuilt = vae.decode(posterior.sample()).sample
        error = rebuilt.float() - images
        edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
        pull = posterior.kl().mean() / posterior.mean[0].numel()
        run.update(error.abs().mean() + error.square().mean() + edges + 1e-4 * pull)
    with torch.no_grad():
        latents = torch.cat([vae.encode(data.batch(256)[0]).latent_dist.mean.float() for _ in range(4)])
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    print(
        "latent std by channel", [round(s, 3) for s in latents.std((0, 2, 3)).tolist()], vae.config.scaling_factor
    )
    vae.half().save_pretrained(options.out / "emoji-sd" / "vae")


def train_clip(data: Composites, options: argparse.Namespace) -> None:
    """Contrastive, over batches of distinct pairs; noise and blur, so that it can judge imperfect images."""
    words = models.tokenizer(options.out / "emoji-sd" / "tokenizer")
    clip = models.clip(words).to(options.device)
    clip.logit_scale.data.fill_(math.log(10))
    run = Run("clip", {"clip": clip}, options, rate=8e-4, weight_decay=0.1)
    ids = models.encode(words, _all_captions(), options.device)
    for _ in run.loop():
        images, chosen = data.batch(min(options.batch, len(data.trained)))
        with _bf16(options):
            out = clip(input_ids=ids[_row(chosen)], pixel_values=_roughen(images, data.random))
        labels = torch.arange(len(chosen), device=options.device)
        logits = out.logits_per_text.float()
        run.update((F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2)
        clip.logit_scale.data.clamp_(max=math.log(30))
    clip.half().save_pretrained(options.out / "emoji-clip")
    words.save_pretrained(options.out / "emoji-clip")
    clip.text_model.config.save_pretrained(options.out / "emoji-sd" / "text_encoder")


def train_unet(data: Composites, options: argparse.Namespace) -> None:
    """v-prediction on the CLIP's frozen text states."""
    from diffusers import AutoencoderKL
    from transformers import CLIPModel

    device = options.device
    folder = options.out / "emoji-sd"
    words = models.tokenizer(folder / "tokenizer")
    text = CLIPModel.from_pretrained(options.out / "emoji-clip").text_model.to(device).float().eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae").to(device).float().eval()
    with torch.no_grad():
        states = text(models.encode(words, [*_all_captions(), ""], device)).last_hidden_state
    unet = models.unet().to(device, memory_format=torch.channels_last)
    run = Run("unet", {"unet": unet}, options, rate=1e-3)
    signal = models.scheduler().alphas_cumprod.to(device)
    compiled = torch.compile(unet) if options.compile else unet
    bank, captions_of = _bank(vae, data, options)
    for _ in run.loop():
        drawn = torch.randint(len(bank), (options.batch,), device=device, generator=data.random)
        noisy, t, velocity = _diffuse(bank[drawn].float(), signal, data.random)
        drop = torch.rand(len(drawn), device=device, generator=data.random) < DROP_CAPTION
        rows = torch.where(drop, len(states) - 1, captions_of[drawn])
        with _bf16(options):
            out = compiled(noisy.to(memory_format=torch.channels_last), t, states[rows]).sample
        run.update(F.mse_loss(out.float(), velocity))
    unet.half().save_pretrained(folder / "unet")


@torch.no_grad()
def _bank(
    vae: torch.nn.Module, data: Composites, options: argparse.Namespace
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled latents of ``copies`` composites of every trained pair, encoded once, and their captions' rows."""
    scale, latents = vae.config.scaling_factor, []
    for _ in range(options.copies):
        with _bf16(options):
            encoded = vae.encode(data.draw(data.trained).to(memory_format=torch.channels_last)).latent_dist.mean
        latents.append((encoded * scale).to(torch.bfloat16))
    return torch.cat(latents), _row(data.trained).repeat(options.copies)


def _diffuse(clean: torch.Tensor, signal: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, ...]:
    t = torch.randint(len(signal), (len(clean),), device=clean.device, generator=random)
    a = signal[t].sqrt()[:, None, None, None]
    s = (1 - signal[t]).sqrt()[:, None, None, None]
    noise = torch.randn(clean.shape, device=clean.device, generator=random)
    return a * clean + s * noise, t, a * noise - s * clean


def _roughen(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    n, device = len(images), images.device
    blurred = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    mix = torch.rand(n, 1, 1, 1, device=device, generator=random)
    strength = torch.rand(n, 1, 1, 1, device=device, generator=random) * 0.15
    noise = torch.randn(images.shape, device=device, generator=random)
    return images.lerp(blurred, mix) + strength * noise


def _all_captions() -> list[str]:
    return [caption_of((o, c)) for o in range(len(OBJECTS)) for c in range(len(COLOURS))]


def _row(chosen: torch.Tensor) -> torch.Tensor:
    return chosen[:, 0] * len(COLOURS) + chosen[:, 1]


def _bf16(options: argparse.Namespace) -> torch.autocast:
    return torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("vae", "clip", "unet"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=HERE / "work" / "emoji.npz")
    parser.add_argument("--out", type=Path, default=HERE / "work")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--copies", type=int, default=128, help="composites of each pair that the UNet sees")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    options.out.mkdir(parents=True, exist_ok=True)
    data = Composites(options.data, options.device, options.seed)
    {"vae": train_vae, "clip": train_clip, "unet": train_unet}[options.stage](data, options)


if __name__ == "__main__":
    main()
