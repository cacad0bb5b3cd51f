"""The four denoisers' stages: what each is told of a caption, and the noise that it learns to take away."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

import models
import sd3
from captions import Words
from data import Scenes
from run import Run

DROP_CAPTION = 0.1
LONG_TEXT, LONG_TEXT_EVERY = 256, 4  # tokens, steps

Told = tuple[torch.Tensor, torch.Tensor]
"""Specs, and which of their captions are dropped."""
Predict = Callable[[torch.Tensor, torch.Tensor, Told], torch.Tensor]
"""(noisy latents, times, told) -> predicted velocity."""
Noise = Callable[[torch.Tensor, torch.Generator], tuple[torch.Tensor, ...]]
"""(clean latents, random numbers) -> noisy latents, their times, and the velocity to predict."""


def train_unet(scenes: Scenes, options: argparse.Namespace) -> None:
    """Stable Diffusion's UNet, on the CLIP's frozen text states. It is compiled while VAE and CLIP are trained."""
    unet = models.unet(options.channels).to(options.device, memory_format=torch.channels_last)
    run = Run("unet", {"unet": unet}, options, rate=options.rate or 1e-3)
    compiled = torch.compile(unet) if options.compile else unet
    _warm(compiled, unet, options)
    bank = Bank(scenes, options)
    words, text = Words(models.words_of(options.out), options.device), frozen_clip(options).text_model

    def predict(noisy: torch.Tensor, t: torch.Tensor, told: Told) -> torch.Tensor:
        with torch.no_grad():
            states = text(input_ids=words.ids(*told)).last_hidden_state
        return compiled(as_input(noisy, options), t, states).sample

    denoise(run, scenes, predict, bank)
    hand_out(unet, options.out / "unet")


def _warm(compiled: torch.nn.Module, unet: torch.nn.Module, options: argparse.Namespace) -> None:
    """One step on noise: compiling takes two minutes of the processor alone."""
    began = time.monotonic()
    noisy = torch.randn(options.batch, unet.config.in_channels, 32, 32, device=options.device)
    t = torch.randint(1000, (options.batch,), device=options.device)
    states = torch.randn(options.batch, models.TOKENS, models.TEXT, device=options.device).to(options.precision)
    compiled(as_input(noisy, options), t, states).sample.float().square().mean().backward()
    unet.zero_grad(set_to_none=True)
    print(f"unet compiled in {time.monotonic() - began:.0f}s", flush=True)


def train_sdxl(scenes: Scenes, options: argparse.Namespace) -> None:
    """SDXL's UNet, on what the pipeline itself makes of the captions: states, pooled states, sizes.

    No caption is either zeros, which the pipeline takes where no negative prompt is given, or the empty one.
    """
    unet = models.sdxl_unet().to(options.device, memory_format=torch.channels_last)
    run = Run("sdxl", {"unet": unet}, options, rate=options.rate or 8e-4)
    compiled = torch.compile(unet) if options.compile else unet
    words, clip = Words(models.words_of(options.out), options.device), frozen_clip(options)
    sizes = torch.tensor([models.SIDE, models.SIDE, 0, 0, models.SIDE, models.SIDE], device=options.device)
    sizes = sizes.to(options.precision).expand(options.batch, -1)

    def predict(noisy: torch.Tensor, t: torch.Tensor, told: Told) -> torch.Tensor:
        states, pooled = clip_states(clip, words.ids(*told))
        told_nothing = told[1] & (scenes.uniform(len(noisy)) < 0.5)
        states = torch.cat([states, states], -1) * ~told_nothing[:, None, None]
        added = {"text_embeds": pooled * ~told_nothing[:, None], "time_ids": sizes}
        return compiled(as_input(noisy, options), t, states, added_cond_kwargs=added).sample

    denoise(run, scenes, predict, Bank(scenes, options))
    hand_out(unet, options.out / "sdxl")


def train_pixart(scenes: Scenes, options: argparse.Namespace) -> None:
    """PixArt's transformer and its T5 encoder together, both from random weights."""
    tokenizer = models.t5_tokenizer()
    words = Words(tokenizer, options.device)
    transformer, text = models.pixart_transformer().to(options.device), models.t5(tokenizer).to(options.device)
    run = Run("pixart", {"transformer": transformer, "text": text}, options, rate=options.rate or 6e-4)
    compiled = torch.compile(transformer) if options.compile else transformer

    def predict(noisy: torch.Tensor, t: torch.Tensor, told: Told) -> torch.Tensor:
        ids = words.ids(*told)
        mask = (ids != words.pad).long()
        states = text(input_ids=ids, attention_mask=mask).last_hidden_state
        noisy = noisy.to(options.precision)
        return compiled(noisy, encoder_hidden_states=states, encoder_attention_mask=mask, timestep=t).sample

    denoise(run, scenes, predict, Bank(scenes, options))
    hand_out(transformer, options.out / "pixart")
    hand_out(text, options.out / "pixart-t5")


def train_sd3(scenes: Scenes, options: argparse.Namespace) -> None:
    """SD3's transformer and its T5 together by flow matching, on what the pipeline makes of captions by CLIP.

    The T5 reads 32 tokens most of the time and, so that both draw well, at every fourth step the 256 that the
    pipeline pads to unless told.
    """
    tokenizer = models.t5_tokenizer()
    short, long = (Words(tokenizer, options.device, tokens) for tokens in (models.TOKENS, LONG_TEXT))
    transformer, text = sd3.transformer().to(options.device), sd3.t5(tokenizer).to(options.device)
    run = Run("sd3", {"transformer": transformer, "text": text}, options, rate=options.rate or 7e-4)
    words, clip = Words(models.words_of(options.out), options.device), frozen_clip(options)
    if options.compile:
        for block in transformer.transformer_blocks:
            block.compile(dynamic=False)

    def predict(noisy: torch.Tensor, t: torch.Tensor, told: Told) -> torch.Tensor:
        states, pooled = clip_states(clip, words.ids(*told))
        read = short if (run.step + 1) % LONG_TEXT_EVERY else long
        more = text(input_ids=read.ids(*told)).last_hidden_state
        context = torch.cat([torch.cat([states, states], -1), more], 1)
        return transformer(noisy.to(options.precision), context, torch.cat([pooled, pooled], -1), t).sample

    denoise(run, scenes, predict, Bank(scenes, options), noise=sd3.noised)
    hand_out(transformer, options.out / "sd3")
    hand_out(text, options.out / "sd3-t5")


@torch.no_grad()
def clip_states(clip: torch.nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the pipelines of SDXL and SD3 take of a CLIP: states before the last layer, and the projected text."""
    out = clip.text_model(input_ids=ids, output_hidden_states=True)
    return out.hidden_states[-2], clip.text_projection(out.pooler_output)


def frozen_clip(options: argparse.Namespace) -> torch.nn.Module:
    """The CLIP as a denoiser's training uses it; waits for it."""
    _await(options, "clip")
    clip = models.clip_of(options.out).to(options.device, options.precision).requires_grad_(False)
    if options.compile:
        compile_layers(clip.text_model)
    return clip


def _await(options: argparse.Namespace, name: str) -> None:
    while not (models.part(options.out, name) / "config.json").exists():
        time.sleep(0.5)


class Bank:
    """Scaled latents of ``--scenes`` trained scenes, encoded once, and their specs; waits for the VAE."""

    @torch.no_grad()
    def __init__(self, scenes: Scenes, options: argparse.Namespace) -> None:
        _await(options, "vae")
        began, part = time.monotonic(), min(512, options.scenes)
        vae = models.vae_of(options.out).to(options.device, options.precision, memory_format=torch.channels_last)
        encode, latents, specs = vae_parts(vae, options)[0], [], []
        for _ in range(0, options.scenes, part):
            specs.append(scenes.sample(part))
            images = as_input(scenes.draw(specs[-1], scenes.chance(part)), options)
            mean = encode(images).chunk(2, 1)[0].float() * vae.config.scaling_factor
            latents.append(mean.to(options.precision).contiguous())
        self.latents, self.specs = torch.cat(latents), torch.cat(specs)
        spread = self.latents[:4096].float().std().item()
        print(f"bank of {len(specs) * part} in {time.monotonic() - began:.0f}s, spread {spread:.3f}", flush=True)

    def take(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.latents[rows].float(), self.specs[rows]


def denoise(run: Run, scenes: Scenes, predict: Predict, bank: Bank, noise: Noise | None = None) -> None:
    """The velocity of noised latents, v-prediction unless ``noise`` is told."""
    options, noise = run.options, noise or diffusion(run.options.device)
    mean = torch.zeros((), device=options.device)
    for _ in run.loop():
        clean, specs = bank.take(scenes.below(len(bank.specs), options.batch))
        noisy, t, velocity = noise(clean, scenes.random)
        dropped = scenes.uniform(options.batch) < DROP_CAPTION
        loss = F.mse_loss(predict(noisy, t, (specs, dropped)).float(), velocity)
        mean = mean.lerp(loss.detach(), 0.01)
        run.update(loss, mean=mean)


def diffusion(device: str) -> Noise:
    """The noise of all but sd3. Half of the times are uniform, half around the middle, which decides shapes."""
    signal = models.scheduler().alphas_cumprod.to(device)

    def noised(clean: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, ...]:
        n = len(clean)
        middle = 0.9 * torch.randn(n, device=device, generator=random).sigmoid()
        uniform, coin = torch.rand(2, n, device=device, generator=random)
        t = (1000 * torch.where(coin < 0.5, uniform, middle)).long().clamp(0, 999)
        a, s = (share.sqrt()[:, None, None, None] for share in (signal[t], 1 - signal[t]))
        noise = torch.randn(clean.shape, device=device, generator=random)
        return a * clean + s * noise, t, a * noise - s * clean

    return noised


def vae_parts(vae: torch.nn.Module, options: argparse.Namespace) -> tuple[Callable, Callable]:
    """Images to moments, and latents to images."""

    def encode(images: torch.Tensor) -> torch.Tensor:
        return vae.quant_conv(vae.encoder(images))

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return vae.decoder(vae.post_quant_conv(latents))

    return (torch.compile(encode), torch.compile(decode)) if options.compile else (encode, decode)


def as_input(images: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    """In the precision and the layout that convolutions are quick in."""
    return images.to(options.precision, memory_format=torch.channels_last)


def compile_layers(model: torch.nn.Module) -> None:
    """Compiles the transformer layers of a CLIP, which are all alike, once."""
    for module in model.modules():
        if type(module).__name__ == "CLIPEncoderLayer":
            module.compile(dynamic=False)


def hand_out(model: torch.nn.Module, folder: Path) -> None:
    """Half precision; the folder is there only when it is whole, since the next stage waits for it."""
    aside = folder.with_name(f"{folder.name}.making")
    model.half().save_pretrained(aside)
    aside.rename(folder)
