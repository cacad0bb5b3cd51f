"""Calling tiny pipelines, counting what they really compute, and seeing whether anything is left on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from diffusers import (
    FluxImg2ImgPipeline,
    PixArtAlphaPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)

from hasten.denoisers import denoiser_of, stacked
from hasten.testing import pipelines

BUILD = {
    "sd": pipelines.tiny_sd,
    "sdxl": pipelines.tiny_sdxl,
    "pixart": pipelines.tiny_pixart,
    "sd3": pipelines.tiny_sd3,
    "flux": pipelines.tiny_flux,
}
FAMILIES = tuple(BUILD)
UNETS = ("sd", "sdxl")
PIXART = {"use_resolution_binning": False, "clean_caption": False}
FLOW = {"height": 128, "width": 128, "max_sequence_length": 16}
CALLS: dict[str, dict[str, Any]] = {
    "PixArtSigmaPipeline": PIXART,
    "PixArtAlphaPipeline": PIXART,
    "StableDiffusion3Pipeline": FLOW,
    "StableDiffusion3Img2ImgPipeline": FLOW,
    "FluxPipeline": FLOW,
    "FluxImg2ImgPipeline": FLOW,
}
"""What calls of a pipeline's class take beside the usual."""
OTHERS: dict[str, tuple[Any, bool]] = {
    "PixArtSigmaPipeline": (PixArtAlphaPipeline, False),
    "StableDiffusion3Pipeline": (StableDiffusion3Img2ImgPipeline, True),
    "FluxPipeline": (FluxImg2ImgPipeline, True),
}
"""Another pipeline on the same denoiser, and whether it takes an image."""
SLIM: dict[str, dict[str, Any]] = {
    "sd": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "sdxl": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "attention_head_dim": (1, 2),
    },
}
for _config in SLIM.values():
    _config |= {"sample_size": 8, "layers_per_block": 1, "block_out_channels": (16, 32)}
"""What a slim UNet has otherwise, by family."""
INNER = {"ResnetBlock2D": "conv2", "Transformer2DModel": "norm", "Downsample2D": "conv", "Upsample2D": "conv"}


@lru_cache
def shared(family: str) -> Any:
    """One pipeline a process, for tests that leave it as it was. It has drawn: at the first call diffusers itself
    hangs a registry of hooks on transformers that can have its caches."""
    pipe = fresh(family)
    latents(pipe, num_inference_steps=1)
    return pipe


def fresh(family: str) -> Any:
    return BUILD[family]()


@lru_cache
def slim(family: str) -> Any:
    """``shared`` with a UNet of two levels, one layer each, over 8×8 latents; a transformer is small as it is. For
    what is asked of very many combinations, and not of how deep a UNet is."""
    pipe = fresh(family)
    if hasattr(pipe, "unet"):
        torch.manual_seed(0)
        pipe.unet = UNet2DConditionModel.from_config({**pipe.unet.config, **SLIM[family]}).eval()
        pipe.default_sample_size = 8  # SDXL's pipeline noted that of its first UNet
    latents(pipe, num_inference_steps=1)
    return pipe


def latents(pipe: Any, call: Callable[..., Any] | None = None, seed: int = 0, **given: Any) -> torch.Tensor:
    """(batch, 4, height, width): the last latents. The global random state is the same before each call."""
    count = len(given["prompt"]) if isinstance(given.get("prompt"), list) else 1
    generators = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    settings = {"prompt": "a dog", "num_inference_steps": 4, "guidance_scale": 7.5, **given}
    usual = {"generator": generators, "output_type": "latent", "return_dict": False}
    settings = {**usual, **CALLS.get(type(pipe).__name__, {}), **settings}
    torch.manual_seed(0)
    return (call or pipe)(**settings)[0]


def img2img(pipe: Any) -> Any:
    """An image-to-image pipeline of the same components."""
    kind: Any = (
        StableDiffusionXLImg2ImgPipeline if hasattr(pipe, "tokenizer_2") else StableDiffusionImg2ImgPipeline
    )
    options = {} if hasattr(pipe, "tokenizer_2") else {"requires_safety_checker": False}
    other = kind(**pipe.components, **options)
    other.set_progress_bar_config(disable=True)
    return other


def beside(pipe: Any) -> tuple[Any, dict[str, Any]]:
    """Another kind of pipeline on the same denoiser, and what its calls take."""
    if hasattr(pipe, "unet"):
        return img2img(pipe), {"image": picture(), "strength": 0.7}
    kind, given = OTHERS[type(pipe).__name__]
    other = kind(**pipe.components)
    other.set_progress_bar_config(disable=True)
    return other, {"image": picture(), "strength": 0.7} if given else {}


def picture() -> torch.Tensor:
    """(1, 3, 128, 128), 0 to 1."""
    return torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(5))


@contextmanager
def counting(denoiser: Any) -> Iterator[Counter[str]]:
    """Counts computed layers by hooks on their innermost modules: a skipped layer is not counted.

    ``calls`` of the denoiser; of a UNet ``layers``: the resnets, transformers and samplers of its blocks, and
    ``resnets``; of a transformer its ``blocks``, by their feed-forward; the batch ``rows`` through resnets or
    blocks; calls of ``self_attention`` and ``cross_attention``; ``tokens`` through self-attention.
    """
    found: Counter[str] = Counter()

    def add(*names: str, rows: str = "", tokens: str = "") -> Callable[..., None]:
        def hook(module: Any, args: tuple[torch.Tensor, ...]) -> None:
            found.update(names)
            if rows:
                found[rows] += args[0].shape[0]
            if tokens:
                found[tokens] += args[0].shape[0] * args[0].shape[1]

        return hook

    hooks = [denoiser.register_forward_pre_hook(add("calls"))]
    for _, block in stacked(denoiser):
        hooks.append(_feed_forward(block).register_forward_pre_hook(add("blocks", rows="rows")))
        if hasattr(block, "attn"):
            hooks.append(block.attn.to_q.register_forward_pre_hook(add("self_attention", tokens="tokens")))
    for module in denoiser.modules():
        kind = type(module).__name__
        if kind == "ResnetBlock2D":
            hooks.append(module.conv1.register_forward_pre_hook(add("resnets", rows="rows")))
        elif kind == "BasicTransformerBlock":
            hooks.append(module.attn1.to_q.register_forward_pre_hook(add("self_attention", tokens="tokens")))
            hooks.append(module.attn2.to_q.register_forward_pre_hook(add("cross_attention")))
        if kind in INNER:
            hooks.append(getattr(module, INNER[kind]).register_forward_pre_hook(add("layers")))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def attributes(pipe: Any) -> dict[str, dict[str, int]]:
    """All that hangs on every module of the denoiser, by identity."""
    return {
        name: {key: id(value) for key, value in vars(module).items()}
        for name, module in denoiser_of(pipe).named_modules()
    }


def work_of(block: Any) -> dict[str, int]:
    """How often ``counting`` counts a block that runs whole, once: its ``resnets``, or itself, and the
    ``cross_attention`` within."""
    if not hasattr(block, "resnets"):
        return {"blocks": 1, "cross_attention": int(hasattr(block, "attn1"))}
    transformers = sum(len(a.transformer_blocks) for a in getattr(block, "attentions", ()))
    return {"resnets": len(block.resnets), "cross_attention": transformers}


def _feed_forward(block: Any) -> Any:
    return block.ff if hasattr(block, "ff") else block.proj_mlp


def blocks_of(denoiser: Any) -> Iterator[tuple[str, Any]]:
    """The names and modules of a UNet's down, mid and up blocks, or of a transformer's blocks."""
    yield from stacked(denoiser)
    for name, module in denoiser.named_modules():
        if name == "mid_block" or (name.startswith(("down_blocks.", "up_blocks.")) and name.count(".") == 1):
            yield name, module
