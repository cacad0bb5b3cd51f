"""What the methods need to know about a UNet, read from its modules. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class TransformerBlock(NamedTuple):
    """A transformer block and by how much its tokens are fewer than the latents' pixels, a side."""

    module: Any
    downsample: int


def denoiser_of(pipe: Any) -> Any:
    """``pipe.unet`` or ``pipe.transformer``, without the shell that ``torch.compile`` puts around it."""
    unet = getattr(pipe, "unet", None)
    found = getattr(pipe, "transformer", None) if unet is None else unet  # a compiled one has no truth value
    return getattr(found, "_orig_mod", found)


def is_a(thing: Any, class_name: str) -> bool:
    """Whether a class of that name is among the object's classes: asked by name so that nothing is imported."""
    return any(c.__name__ == class_name for c in type(thing).__mro__)


def no_unet(pipe: Any, title: str) -> str | None:
    """Why a method that needs diffusers' conditional UNet cannot be used on the pipeline; None when it can."""
    name = type(pipe).__name__
    if getattr(pipe, "unet", None) is None:
        return f"{name} has no unet: {title} needs a UNet2DConditionModel"
    unet = denoiser_of(pipe)
    if not is_a(unet, "UNet2DConditionModel"):
        return f"the unet of {name} is a {type(unet).__name__}: {title} needs a UNet2DConditionModel"
    return None


def no_transformer_blocks(pipe: Any, title: str) -> str | None:
    """The same for a method that works on the attention inside transformer blocks."""
    reason = no_unet(pipe, title)
    if reason is None and not any(transformer_blocks(denoiser_of(pipe))):
        return f"the unet of {type(pipe).__name__} has no transformer blocks: {title} has no attention to work on"
    return reason


def transformer_blocks(unet: Any) -> Iterator[TransformerBlock]:
    """All transformer blocks of the UNet, in the order they run."""
    for block, downsample in _levels(unet):
        for module in block.modules():
            if is_a(module, "BasicTransformerBlock"):
                yield TransformerBlock(module, downsample)


def _levels(unet: Any) -> Iterator[tuple[Any, int]]:
    """Each down, mid and up block and the downsampling at which it works."""
    downsample = 1
    for block in unet.down_blocks:
        yield block, downsample
        downsample *= 2 if getattr(block, "downsamplers", None) else 1
    if unet.mid_block is not None:
        yield unet.mid_block, downsample
    for block in unet.up_blocks:
        yield block, downsample
        downsample //= 2 if getattr(block, "upsamplers", None) else 1
