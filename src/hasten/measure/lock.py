"""A lock for each device, because two measuring processes at once would disturb each other's times."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from hasten.errors import MeasurementError
from hasten.measure._holder import Holder

logger = logging.getLogger(__name__)
LOOK_S = 0.5
REMIND_S = 300.0


@contextmanager
def device_lock(device: str, wait: bool = True) -> Iterator[Path]:
    """Holds the device's lock inside the context. It is reentrant within a thread, and ends with the process.

    A file beside the lock file names the holder, so that others can tell whom they wait for. A lock that is held
    in the name of a dead process, by a fork that it left behind, is taken over.

    Args:
        device: the name of a torch device, such as ``cuda:0``.
        wait: whether to wait while another process holds the lock.

    Yields:
        the lock file's path.

    Raises:
        MeasurementError: another process holds the lock and ``wait`` is False, or no place for a lock file can be
            written.
    """
    path = lock_path(device)
    lock = FileLock(path, is_singleton=True)
    _acquire(lock, path, device, wait)
    try:
        yield path
    finally:
        if lock.lock_counter == 1:
            Holder.forget(path)
        lock.release()


def _acquire(lock: FileLock, path: Path, device: str, wait: bool) -> None:
    waiting_for, remind_at = "", 0.0
    while not _acquired(lock, path, LOOK_S if waiting_for else 0.0):
        found = Holder.of(path)
        # A process that has only just taken the lock names itself while we wait here.
        if found is None and wait and not waiting_for and _acquired(lock, path, LOOK_S):
            break
        holder = str(found or Holder.of(path) or "one that does not say who it is")
        if not wait:
            raise MeasurementError(
                f"Another process measures on {device!r}: {holder}. Wait for its end, or stop it (lock file "
                f"{path})."
            )
        if holder != waiting_for or time.monotonic() > remind_at:
            logger.warning("Another process measures on %s: %s. Waiting for its end.", device, holder)
            waiting_for, remind_at = holder, time.monotonic() + REMIND_S
    if lock.lock_counter == 1:
        Holder.here().keep(path)


def _acquired(lock: FileLock, path: Path, timeout_s: float) -> bool:
    holder = Holder.of(path)
    try:
        if holder is not None and holder.dead and not lock.is_locked:
            _take_over(lock, path)
        else:
            lock.acquire(timeout=timeout_s)
    except Timeout:
        return False
    return True


def _take_over(lock: FileLock, path: Path) -> None:
    """Takes the lock of a dead process. Only one process does so at a time.

    Where some process still has the old file locked, the file is replaced.

    Raises:
        Timeout: another process was quicker.
    """
    with FileLock(path.with_suffix(".taking-over")):
        holder = Holder.of(path)
        if holder is None or not holder.dead:
            raise Timeout(str(path))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.warning("The lock %s is held by what a dead process left: %s. It is taken over.", path, holder)
            path.unlink(missing_ok=True)
            lock.acquire(timeout=0)
        Holder.here().keep(path)


def lock_path(device: str) -> Path:
    """Returns the lock file of a device. CUDA devices are named by UUID, as the meaning of ``cuda:0`` can vary."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", _identity(device)).strip("-")
    return _folder() / f"{name}.lock"


def _folder() -> Path:
    """Returns ``locks`` in the user's state directory or, where that cannot be written, in the temporary
    directory."""
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
