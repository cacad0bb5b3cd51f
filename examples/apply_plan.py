"""Draws one image twice, without and with DeepCache, and says how long each took. Writes two PNG files."""

import time

import torch

import hasten
from hasten.models import load_pipeline

pipe = load_pipeline("emoji-sd")  # a plain diffusers pipeline; any Stable Diffusion or SDXL one will do


def draw(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    start = time.perf_counter()
    image = pipe("a strawberry on a blue background", 64, 64, 25, guidance_scale=2.0, generator=generator).images[
        0
    ]
    print(f"{name}: {time.perf_counter() - start:.2f} s")
    image.save(f"{name}.png")


draw("baseline")
with hasten.accelerate(pipe, "deepcache(cache_interval=3)"):
    draw("deepcache")
