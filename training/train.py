"""Trains the embedded models: VAE and CLIP first, then a denoiser for each pipeline. Resumable and seeded.

    python train.py unet --steps 7500 --batch 384

The denoisers (unet: Stable Diffusion; sdxl; pixart; sd3) need the VAE, all but pixart the CLIP too: those of
``--out``, or else the shipped ones. Each stage goes on from its checkpoint in ``--out``. ``--seconds`` bounds a
stage by time instead: its learning rate then follows the clock. ``--pause`` ends a call before that, to be
continued.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

import models
import sd3
from data import Composites
from objects import COLOURS, OBJECTS, caption_of
from run import Run

HERE = Path(__file__).parent
DROP_CAPTION = 0.1
LONG_TEXT, LONG_TEXT_EVERY = 256, 4  # tokens, steps

Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(noisy latents, times, rows of the captions) -> predicted velocity."""
Noise = Callable[[torch.Tensor, torch.Generator], tuple[torch.Tensor, ...]]
"""(clean latents, random numbers) -> noisy latents, their times, and the velocity to predict."""


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
    """Stable Diffusion's UNet, on the CLIP's frozen text states."""
    device = options.device
    text = models.clip_of(options.out)
    ids = models.encode(models.words_of(options.out), [*_all_captions(), ""], device)
    with torch.no_grad():
        states = text.text_model.to(device)(ids).last_hidden_state
    unet = models.unet().to(device, memory_format=torch.channels_last)
    run = Run("unet", {"unet": unet}, options, rate=1e-3)
    compiled = torch.compile(unet) if options.compile else unet

    def predict(noisy: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return compiled(noisy.to(memory_format=torch.channels_last), t, states[rows]).sample

    _denoise(run, data, predict)
    unet.half().save_pretrained(options.out / "emoji-sd" / "unet")


def train_sdxl(data: Composites, options: argparse.Namespace) -> None:
    """SDXL's UNet, on what the pipeline itself makes of the captions: states, pooled states, sizes.

    No caption is either zeros, which the pipeline takes where no negative prompt is given, or the empty one.
    """
    device, unet = options.device, models.sdxl_unet()
    pipe = models.sdxl(unet, options.out).to(device)
    with torch.no_grad():
        states, none, pooled, none_pooled = pipe.encode_prompt([*_all_captions(), ""], device=device)
    states, pooled = torch.cat([states, none[:1]]), torch.cat([pooled, none_pooled[:1]])
    side = unet.config.sample_size * pipe.vae_scale_factor
    sizes = torch.tensor([side, side, 0, 0, side, side], device=device).float().expand(options.batch, -1)
    unet.to(memory_format=torch.channels_last)
    run = Run("sdxl", {"unet": unet}, options, rate=8e-4)
    compiled = torch.compile(unet) if options.compile else unet

    def predict(noisy: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        added = {"text_embeds": pooled[rows], "time_ids": sizes}
        return compiled(
            noisy.to(memory_format=torch.channels_last), t, states[rows], added_cond_kwargs=added
        ).sample

    _denoise(run, data, predict, empties=2)
    unet.half().save_pretrained(options.out / "emoji-sdxl" / "unet")


def train_pixart(data: Composites, options: argparse.Namespace) -> None:
    """PixArt's transformer and its T5 encoder together, both from random weights."""
    device, folder = options.device, options.out / "emoji-pixart"
    words = models.t5_tokenizer()
    transformer, text = models.pixart_transformer().to(device), models.t5(words).to(device)
    run = Run("pixart", {"transformer": transformer, "text": text}, options, rate=5e-4)
    compiled = torch.compile(transformer) if options.compile else transformer
    tokens = words([*_all_captions(), ""], padding="max_length", return_tensors="pt").to(device)
    ids, mask = tokens.input_ids, tokens.attention_mask

    def predict(noisy: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        states = text(ids[rows], attention_mask=mask[rows]).last_hidden_state
        return compiled(noisy, encoder_hidden_states=states, encoder_attention_mask=mask[rows], timestep=t).sample

    _denoise(run, data, predict)
    transformer.half().save_pretrained(folder / "transformer")
    text.half().save_pretrained(folder / "text_encoder")
    words.save_pretrained(folder / "tokenizer")


def train_sd3(data: Composites, options: argparse.Namespace) -> None:
    """SD3's transformer and its T5 together by flow matching, on what the pipeline makes of the captions by CLIP.

    The T5 reads 16 tokens most of the time and, so that both draw well, at every fourth step the 256 that the
    pipeline pads to unless told.
    """
    device, folder = options.device, options.out / "emoji-sd3"
    words, captions = models.t5_tokenizer(), [*_all_captions(), ""]
    transformer, text = sd3.transformer(), sd3.t5(words)
    pipe = sd3.pipeline(transformer, text, words, options.out).to(device)
    with torch.no_grad():
        states, _, pooled, _ = pipe.encode_prompt(
            captions, None, None, device, do_classifier_free_guidance=False, max_sequence_length=models.TOKENS
        )
    states = states[:, : models.TOKENS]  # after them those of the T5
    short, long = (
        words(captions, padding="max_length", max_length=length, return_tensors="pt").input_ids.to(device)
        for length in (models.TOKENS, LONG_TEXT)
    )
    run = Run("sd3", {"transformer": transformer, "text": text}, options, rate=7e-4)
    if options.compile:
        for block in transformer.transformer_blocks:
            block.compile(dynamic=False)

    def predict(noisy: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        ids = short if (run.step + 1) % LONG_TEXT_EVERY else long
        context = torch.cat([states[rows], text(ids[rows]).last_hidden_state], 1)
        return transformer(noisy, context, pooled[rows], t).sample

    _denoise(run, data, predict, noise=sd3.noised)
    transformer.half().save_pretrained(folder / "transformer")
    text.half().save_pretrained(folder / "text_encoder_3")
    words.save_pretrained(folder / "tokenizer_3")


def _denoise(run: Run, data: Composites, predict: Predict, empties: int = 1, noise: Noise | None = None) -> None:
    """The velocity of noised latents, v-prediction unless ``noise`` is told.

    The ``empties`` rows after those of the captions stand for no caption.
    """
    options, device = run.options, run.options.device
    data.random.manual_seed(options.seed + run.step)
    bank, captions_of = _bank(models.vae_of(options.out).to(device), data, options)
    noise, captions = noise or _diffusion(device), len(_all_captions())
    for _ in run.loop():
        drawn = torch.randint(len(bank), (options.batch,), device=device, generator=data.random)
        noisy, t, velocity = noise(bank[drawn].float(), data.random)
        drop = torch.rand(len(drawn), device=device, generator=data.random) < DROP_CAPTION
        empty = torch.randint(captions, captions + empties, (len(drawn),), device=device, generator=data.random)
        with _bf16(options):
            out = predict(noisy, t, torch.where(drop, empty, captions_of[drawn]))
        run.update(F.mse_loss(out.float(), velocity))


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


def _diffusion(device: str) -> Noise:
    """The noise of all but sd3."""
    signal = models.scheduler().alphas_cumprod.to(device)

    def noised(clean: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, ...]:
        t = torch.randint(len(signal), (len(clean),), device=clean.device, generator=random)
        a = signal[t].sqrt()[:, None, None, None]
        s = (1 - signal[t]).sqrt()[:, None, None, None]
        noise = torch.randn(clean.shape, device=clean.device, generator=random)
        return a * clean + s * noise, t, a * noise - s * clean

    return noised


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


STAGES = {
    "vae": train_vae, "clip": train_clip,
    "unet": train_unet, "sdxl": train_sdxl, "pixart": train_pixart, "sd3": train_sd3,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--pause", type=float, default=0, help="seconds after which this call saves and ends")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=HERE / "work" / "emoji.npz")
    parser.add_argument("--out", type=Path, default=HERE / "work")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--copies", type=int, default=128, help="composites of each pair that a denoiser sees")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    options.began = time.monotonic()
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    options.out.mkdir(parents=True, exist_ok=True)
    data = Composites(options.data, options.device, options.seed)
    STAGES[options.stage](data, options)


if __name__ == "__main__":
    main()
