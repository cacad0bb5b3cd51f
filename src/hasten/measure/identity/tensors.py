"""Identifies tensors by their shape, type and layout, and a checksum over every byte."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SMALL = 65_536
"""The most bytes of a tensor that is hashed as it is."""
CHUNK = 1024
"""The number of 8-byte words that are summed at once, so that each sum covers 8 KiB."""
SAMPLES, SAMPLE = 64, 64
"""The number of places, and of bytes at each, that are hashed as they are, because sums do not depend on the order
of words."""


def layout_of(tensor: torch.Tensor) -> str:
    """Returns type, shape and strides. The strides of dimensions of size 1 are 0, as they do not affect where
    anything lies."""
    strides = [stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return f"{str(tensor.dtype).removeprefix('torch.')}{tuple(tensor.shape)} strides {tuple(strides)}"


def checksum(tensor: torch.Tensor) -> str:
    """Returns a hash of 32 characters of a tensor's content, the same on every device.

    Integer sums wrap round identically everywhere, in whatever order they are taken, and read memory as fast as
    possible.
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
    """Returns the sum of each chunk, and the bytes after the last full chunk."""
    import torch

    whole = raw.numel() // (8 * CHUNK) * (8 * CHUNK)
    sums = raw[:whole].view(torch.int64).view(-1, CHUNK).sum(1)
    return sums.view(torch.uint8), raw[whole:]


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """Returns all bytes, (n,), in the order in which they lie in memory. They are copied only where there are
    gaps."""
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
