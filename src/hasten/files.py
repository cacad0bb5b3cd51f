"""Writes files that are never visible half written and that several processes may change at once."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from hasten.errors import InputError, WriteError

LOCK_WAIT_S = 60
STALE_S = 60
_DRAFTS = re.compile(r"\..+\..+-(\d+)\.tmp")
"""Matches the name of a file while it is written. The number is the id of the writing process."""
_swept: set[Path] = set()
_SPENT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a place that could be written to before, so that they are no mistake of the user's."""
_written: list[Path] = []
"""The files that this process has written, in their order."""


def save(text: str, path: str | Path) -> Path:
    """Writes a text file beside its place, then renames it, so that half a file is never visible.

    A link still points to its file afterwards, because the file is replaced where it is.

    Raises:
        InputError: the folder cannot be made or written to.
        WriteError: there is no space left. The message says what was written before.
    """
    return save_bytes(text.encode(), path)


def save_bytes(content: bytes, path: str | Path) -> Path:
    """Writes bytes to a file, like ``save``."""
    path = Path(path)
    try:
        place = _followed(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
        handle, aside = tempfile.mkstemp(f"-{os.getpid()}.tmp", f".{place.name[:40]}.", place.parent)
    except OSError as error:
        raise _fault(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        Path(aside).chmod(0o666 & ~_umask())
        Path(aside).replace(place)
    except OSError as error:
        raise _fault(path, error) from None
    finally:
        Path(aside).unlink(missing_ok=True)
    if path not in _written:
        _written.append(path)
    return path


def user_cache(kind: str) -> Path:
    """Returns the folder of the user's cache in which hasten keeps things of a kind, such as ``baselines``."""
    return user_cache_path("hasten", appauthor=False) / kind


def folder_at(name: str | Path) -> Path | None:
    """Returns the folder of that name, with ``~`` for a user's home, or None where there is no such folder."""
    try:
        place = Path(name).expanduser()
        return place if place.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # the name is too long or has a NUL byte, or there is no such user
        return None


def _fault(path: Path, error: OSError) -> InputError | WriteError:
    beside = [name for file in _written if (name := _near(file, path))]
    if error.errno not in _SPENT and not beside:
        return InputError(f"{path} cannot be written: {error.strerror}. Choose another folder.")
    kept = f"Written before it, and whole: {', '.join(beside)}" if beside else "Nothing was written before it"
    return WriteError(f"{path} cannot be written: {error.strerror}. {kept}. Make space, and run the same again.")


def _near(file: Path, other: Path) -> str:
    """Returns the file's path from the folder that holds ``other`` where it lies in it or one folder below, its
    name where it lies beside that folder, and "" where it lies elsewhere."""
    folder = other.parent
    if file.is_relative_to(folder) and len(file.relative_to(folder).parts) <= 2:
        return file.relative_to(folder).as_posix()
    return file.name if file.parent == folder.parent and folder.name else ""


def _sweep(folder: Path) -> None:
    """Removes the drafts of processes that were killed while they wrote, once for each folder in a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    import psutil

    for found in os.scandir(folder):
        draft = _DRAFTS.fullmatch(found.name)
        if draft and not psutil.pid_exists(int(draft[1])) and time.time() - found.stat().st_mtime > STALE_S:
            Path(found.path).unlink(missing_ok=True)


def whole(text: str) -> str:
    """Returns the text with a question mark for each lone surrogate (half a character), which no file can hold.

    JSON can hold it, as ``\\ud800``.
    """
    return text.encode(errors="replace").decode()


def is_text(name: str) -> bool:
    """Whether a name, of a file perhaps, can be written into a text: not where its bytes are no UTF-8."""
    return whole(name) == name


def save_json(data: object, path: str | Path) -> Path:
    """Saves data as indented JSON. Raises InputError like ``save``, and ValueError for NaN: JSON has none."""
    return save(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


@contextmanager
def updating(path: str | Path) -> Iterator[Path]:
    """Locks a file for reading, changing and saving. Other processes that lock it wait for their turn.

    The lock is ``.<name>.lock`` beside the file. It is reentrant within a thread, and released when the process
    dies.

    Yields:
        the path.

    Raises:
        InputError: the folder cannot be made or written to, or another process holds the file for a minute.
    """
    path = Path(path)
    try:
        place = _followed(path)
        lock = FileLock(place.with_name(f".{place.name}.lock"), is_singleton=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=LOCK_WAIT_S)
    except Timeout:
        raise InputError(
            f"{path} is held by another process for {LOCK_WAIT_S} s (lock file {lock.lock_file}). Wait for its "
            "end, or stop it."
        ) from None
    except OSError as error:
        raise _fault(path, error) from None
    try:
        yield path
    finally:
        lock.release()


def _followed(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
