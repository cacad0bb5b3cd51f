"""Reads the levels of a UNet from its modules. It imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def levels(unet: Any) -> Iterator[tuple[Any, int]]:
    """Yields each down, mid and up block with the downsampling at which it works."""
    downsample = 1
    for block in unet.down_blocks:
        yield block, downsample
        downsample *= 2 if getattr(block, "downsamplers", None) else 1
    if unet.mid_block is not None:
        yield unet.mid_block, downsample
    for block in unet.up_blocks:
        yield block, downsample
        downsample //= 2 if getattr(block, "upsamplers", None) else 1
