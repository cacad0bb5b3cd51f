"""What tells a tensor from others: its shape, type and layout, and a checksum of every byte."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SMALL = 65_536
"""Bytes of a tensor that is taken as it is."""
CHUNK = 1024
"""Words of 8 bytes that are summed up at once: the sums tell in which 8 KiB something has changed."""
SAMPLES, SAMPLE = 64, 64
"""So many places, and bytes at each, that are taken as they are: sums do not tell in what order words stand."""


def layout_of(tensor: torch.Tensor) -> str:
    """Type, shape and strides; those of dimensions of size 1 say nothing about where anything lies."""
    strides = [stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return f"{str(tensor.dtype).removeprefix('torch.')}{tuple(tensor.shape)} strides {tuple(strides)}"


def checksum(tensor: torch.Tensor) -> str:
    """32 characters that another content does not have; the same on every device.

    Integer sums wrap round in the same way everywhere, in whatever order they are taken, and read memory as fast
    as it can be read.
    """
    import torch

    with torch.inference_mode():
        raw = _bytes_of(tensor)
        parts = [raw] if raw.numel() <= SMALL else [*_summed(raw), _samples(raw)]
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(part.cpu().numpy().data)
    return digest.hexdigest()


def _summed(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of each chunk, and the bytes after the last."""
    import torch

    whole = raw.numel() // (8 * CHUNK) * (8 * CHUNK)
    sums = raw[:whole].view(torch.int64).view(-1, CHUNK).sum(1)
    return sums.view(torch.uint8), raw[whole:]


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """All bytes, (n,), in the order in which they lie in memory; copied only where there are gaps between them."""
    import torch

    tensor = tensor.detach().resolve_conj().resolve_neg()
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda d: (-strides[d], d))
    dense = tensor.permute(order).contiguous().reshape(-1)
    raw = dense.view(torch.uint8)
    return raw if raw.storage_offset() % 8 == 0 else raw.clone()


def _samples(raw: torch.Tensor) -> torch.Tensor:
    apart = raw.numel() // SAMPLES
    return raw[: apart * SAMPLES].view(SAMPLES, apart)[:, :SAMPLE].contiguous().view(-1)
