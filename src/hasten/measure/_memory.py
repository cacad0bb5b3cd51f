"""The memory of this process, and whether images fit into the memory that is left."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, Protocol

from hasten.errors import InputError

GIB = 1 << 30
FLOAT_BYTES = 4


def peak_resident_bytes() -> int | None:
    """Returns the most memory that this process has held so far (its peak resident size), or None where it is
    unknown.

    Linux' own mark is preferred, because ``getrusage`` begins there with the value of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


HELD = 2
"""The least number of maps of the images' size that a decoder holds: a convolution's input and its output."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory limit of a container, in both versions of Linux' control groups."""


class Sized(Protocol):
    """The size of a call, and its device: a setting, or a script's claim."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def device(self) -> str: ...


def refuse_too_large(pipe: Any, setting: Sized) -> None:
    """Raises InputError where the images of one call cannot fit into memory, before the system swaps or kills."""
    least, has = least_bytes(pipe, setting), usable_bytes(setting.device)
    if has is None or least <= has:
        return
    size = f"{setting.batch_size} image{'s' * (setting.batch_size > 1)} of {setting.width}x{setting.height} pixels"
    raise InputError(
        f"{size} at once need at least {least / GIB:.1f} GiB of memory to be decoded, and {setting.device} has "
        f"{has / GIB:.1f} GiB. Give a smaller --batch-size, --height or --width."
    )


def least_bytes(pipe: Any, setting: Sized) -> int:
    """Returns the least memory for decoding one call's images.

    It is the size of the images and, where they are not decoded in tiles or one by one, of the widest maps in the
    decoder's last block.
    """
    vae = getattr(pipe, "vae", None)
    pixels = setting.height * setting.width
    images = setting.batch_size * pixels * 3 * FLOAT_BYTES
    if vae is None or getattr(vae, "use_tiling", False):
        return images
    channels = getattr(vae.config, "block_out_channels", (0,))[0]
    at_once = 1 if getattr(vae, "use_slicing", False) else setting.batch_size
    return images + HELD * at_once * pixels * int(channels) * int(vae.dtype.itemsize)


def usable_bytes(device: str) -> int | None:
    """Returns a GPU's memory, or the system's available memory within the container's limit; None for other
    devices."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    if device != "cpu":
        return None
    import psutil

    left = [int(psutil.virtual_memory().available)]
    for limit in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such group, or one without a limit
            left.append(int(Path(limit).read_text(encoding="utf-8")))
    return min(left)
