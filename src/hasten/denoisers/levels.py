"""The shape of a UNet, read from its modules. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def levels(unet: Any) -> Iterator[tuple[Any, int]]:
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
