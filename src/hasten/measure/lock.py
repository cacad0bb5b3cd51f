"""One measuring process a device: two at once would time each other."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from hasten.errors import MeasurementError

logger = logging.getLogger(__name__)


@contextmanager
def device_lock(device: str, wait: bool = True) -> Iterator[Path]:
    """Holds the device's lock file; reentrant within a thread, released when the process dies.

    Yields:
        the lock file's path.

    Raises:
        MeasurementError: another process holds it and ``wait`` is False.
    """
    path = lock_path(device)
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise MeasurementError(
                f"Another process measures on {device!r}. Wait for its end, or stop it (lock file {path})."
            ) from None
        logger.warning("Another process measures on %s; waiting for it (lock file %s).", device, path)
        lock.acquire()
    try:
        yield path
    finally:
        lock.release()


def lock_path(device: str) -> Path:
    """The lock file of a device. CUDA devices go by their UUID: ``cuda:0`` depends on what is visible."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", _identity(device)).strip("-")
    return _folder() / f"{name}.lock"


def _folder() -> Path:
    """``locks`` in the user's state directory; where that cannot be written, in the temporary directory."""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    for folder in (user_state_path("hasten") / "locks", Path(tempfile.gettempdir()) / f"hasten-locks-{owner}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise MeasurementError(
        "No place for a lock file: neither the user's state directory nor the temporary directory can be written."
    )


def _identity(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    properties = torch.cuda.get_device_properties(torch.device(device))
    return f"cuda-{getattr(properties, 'uuid', None) or device}"
