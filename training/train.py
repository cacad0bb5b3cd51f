"""Trains the embedded models: VAE and CLIP first, then a denoiser for each pipeline. Resumable and seeded.

    python train.py vae --seconds 240 --batch 64 --compile

Each stage goes on from its checkpoint in ``--out`` and leaves its averaged weights there, half precision, under
``ema/``. ``--steps`` bounds a stage by steps, ``--seconds`` by its own time, ``--until`` by the clock: a file with
the second of the epoch at which it has to be done, which may change meanwhile. The learning rate runs out by then.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

import denoisers
import models
from captions import Words
from data import COUNT, LAYOUT, SEVERAL, Scenes
from denoisers import as_input, compile_layers, hand_out, vae_parts
from run import Run

HERE = Path(__file__).parent
FAMILY = 4
SPOILT = 4  # one image in so many is also shown spoilt
SHARPEST = math.log(25.0)
"""The highest temperature of the CLIP: a low one asks for wide margins between right and wrong captions."""
FAMILY_SHARPNESS = 12.0


def train_vae(scenes: Scenes, options: argparse.Namespace) -> None:
    """Pixels, edges, and a slight pull of the latents towards a unit Gaussian."""
    name = options.name or "vae"
    vae = models.vae(options.channels).to(options.device, memory_format=torch.channels_last)
    run = Run(name, {"vae": vae}, options, rate=options.rate or 1e-3)
    encode, decode = vae_parts(vae, options)
    for _ in run.loop():
        images = scenes.draw(scenes.sample(options.batch), scenes.chance(options.batch))
        posterior = DiagonalGaussianDistribution(encode(as_input(images, options)).float())
        rebuilt = decode(as_input(posterior.sample(), options)).float()
        error = rebuilt - images
        edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
        pull = posterior.kl().mean() / posterior.mean[0].numel()
        loss = error.abs().mean() + 2 * error.square().mean() + edges + options.pull * pull
        run.update(loss, decibels=_decibels(error.detach()))
    print(f"{name}: {check_vae(vae, scenes)}", flush=True)
    scale = _scale(vae, scenes)
    vae.register_to_config(scaling_factor=scale)
    hand_out(vae, options.out / name)


@torch.no_grad()
def check_vae(vae: torch.nn.Module, scenes: Scenes, n: int = 256) -> str:
    """Decibels of fresh scenes rebuilt from the mean latents, float32, and the latents' spread."""
    found, spread = [], []
    for _ in range(0, n, 64):
        images = scenes.draw(scenes.sample(64), scenes.chance(64))
        latents = vae.encode(images).latent_dist.mean
        found.append(_decibels(vae.decode(latents).sample - images, mean=False))
        spread.append(latents.std((0, 2, 3)))
    spread = torch.stack(spread).mean(0)
    return f"{torch.cat(found).mean().item():.2f} dB, latents' spread {[round(s, 2) for s in spread.tolist()]}"


@torch.no_grad()
def _scale(vae: torch.nn.Module, scenes: Scenes) -> float:
    latents = [vae.encode(scenes.draw(scenes.sample(64), scenes.chance(64))).latent_dist.mean for _ in range(8)]
    return round(1 / torch.cat(latents).std().item(), 5)


def _decibels(error: torch.Tensor, mean: bool = True) -> torch.Tensor:
    each = 10 * torch.log10(4 / error.square().mean((1, 2, 3)))
    return each.mean() if mean else each


def train_clip(scenes: Scenes, options: argparse.Namespace) -> None:
    """Contrastive, over families of scenes that differ in one point each, and over spoilt images."""
    tokenizer = models.tokenizer(options.out / "tokenizer")
    clip, words = models.clip(tokenizer).to(options.device), Words(tokenizer, options.device)
    clip.logit_scale.data.fill_(math.log(10))
    run = Run("clip", {"clip": clip}, options, rate=options.rate or 1e-3, weight_decay=0.1)
    if options.compile:
        compile_layers(clip)
    for _ in run.loop():
        specs, chance = scenes.families(options.batch // FAMILY, FAMILY)
        images = roughen(scenes.draw(specs, chance), scenes)
        spoilt = spoil(scenes, specs[::SPOILT], chance[::SPOILT])
        text = clip_text(clip, words.ids(specs))
        image = clip_image(clip, torch.cat([images, spoilt]).to(options.precision))
        loss, said = clip_loss(text, image, scenes.key(specs), clip.logit_scale.exp().float())
        run.update(loss, **said)
        run.clamp("clip.logit_scale", SHARPEST)
    hand_out(clip, options.out / "clip")


def clip_text(clip: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Unit vectors of token ids, float32. Padding is not masked, as Stable Diffusion's pipeline does not."""
    return F.normalize(clip.text_projection(clip.text_model(input_ids=ids).pooler_output).float(), dim=-1)


def clip_image(clip: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Unit vectors of images in −1 to 1, float32."""
    return F.normalize(clip.visual_projection(clip.vision_model(images).pooler_output).float(), dim=-1)


def clip_loss(
    text: torch.Tensor, image: torch.Tensor, keys: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Over the batch, over each family, and of each spoilt image against the sound one.

    The spoilt images follow the sound ones and stand only as wrong images of their captions.
    """
    n = len(text)
    labels, cosines = torch.arange(n, device=text.device), text @ image.T
    same = keys[:, None] == keys[None]
    same.fill_diagonal_(False)
    sound = (scale * cosines[:, :n]).masked_fill(same, -1e4)
    spoilt = scale * cosines[:, n:]
    batch = F.cross_entropy(torch.cat([sound, spoilt], 1), labels) + F.cross_entropy(sound.T, labels)
    own = cosines.diagonal()
    families = torch.arange(n, device=text.device).view(-1, FAMILY)
    near = cosines[families[:, :, None], families[:, None, :]] * FAMILY_SHARPNESS
    near = near.masked_fill(same[families[:, :, None], families[:, None, :]], -1e4).flatten(0, 1)
    member = torch.arange(FAMILY, device=text.device).repeat(len(families))
    other = near.view(-1, FAMILY, FAMILY).transpose(1, 2).flatten(0, 1)
    family = F.cross_entropy(near, member) + F.cross_entropy(other, member)
    worse = cosines[:, n:][labels[::SPOILT], torch.arange(image.shape[0] - n, device=text.device)]
    gap = own[::SPOILT] - worse
    loss = batch / 2 + family / 2 + F.softplus(-FAMILY_SHARPNESS * gap).mean()
    with torch.no_grad():
        said = {
            "right": (sound.argmax(0) == labels).float().mean(),
            "family_right": (other.argmax(1) == member).float().mean(),
            "own": own.mean(),
            "gap": gap.mean(),
        }
    return loss, said


def roughen(images: torch.Tensor, scenes: Scenes) -> torch.Tensor:
    """Slight noise and softness, as a VAE and a denoiser leave them."""
    n = len(images)
    soft = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    noise = torch.randn(images.shape, device=images.device, generator=scenes.random)
    return images.lerp(soft, scenes.uniform(n, 1, 1, 1)) + 0.1 * scenes.uniform(n, 1, 1, 1) * noise


def spoil(scenes: Scenes, specs: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """The scenes blurred, under strong noise, or with one thing missing."""
    n = len(specs)
    number = torch.where(specs[:, LAYOUT] == SEVERAL, specs[:, COUNT], scenes.named[specs[:, LAYOUT]])
    kind = scenes.below(3, n)
    hide = torch.where(kind == 0, (scenes.uniform(n) * number).long(), -1)
    images = scenes.draw(specs, chance, hide)
    blurred = blur(images, 1.5 + 2.5 * scenes.uniform(n))
    noise = torch.randn(images.shape, device=images.device, generator=scenes.random)
    noisy = images + (0.3 + 0.5 * scenes.uniform(n, 1, 1, 1)) * noise
    kind = kind[:, None, None, None]
    return torch.where(kind == 0, images, torch.where(kind == 1, blurred, noisy))


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Each image by a Gaussian of its own width in pixels."""
    n, channels, height, width = images.shape
    step = torch.arange(-10, 11, device=images.device)
    kernel = torch.exp(-0.5 * (step / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    flat = F.pad(images, (10, 10, 10, 10), mode="replicate").flatten(0, 1)[None]
    across = F.conv2d(flat, kernel[:, :, None], groups=n * channels)
    return F.conv2d(across, kernel[..., None], groups=n * channels).view(n, channels, height, width)


STAGES = {
    "vae": train_vae, "clip": train_clip, "unet": denoisers.train_unet, "sdxl": denoisers.train_sdxl,
    "pixart": denoisers.train_pixart, "sd3": denoisers.train_sd3,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--until", type=Path)
    parser.add_argument("--pause", type=float, default=0, help="seconds after which this call saves and ends")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=0, help="highest learning rate, unless the stage's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--art", type=Path, default=HERE / "work" / "emoji64.npz")
    parser.add_argument("--out", type=Path, default=HERE / "work")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scenes", type=int, default=400_000, help="that a denoiser sees")
    parser.add_argument("--channels", type=int, default=models.CHANNELS, help="of the VAE's latents")
    parser.add_argument("--pull", type=float, default=2e-5, help="weight of the VAE's KL term")
    parser.add_argument("--name", help="of the VAE's folder, vae unless told")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    options.precision = torch.bfloat16 if options.device == "cuda" else torch.float32
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    options.out.mkdir(parents=True, exist_ok=True)
    STAGES[options.stage](Scenes(options.art, options.device, options.seed), options)


if __name__ == "__main__":
    main()
