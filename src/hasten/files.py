"""Text files that no one ever sees half written, and that several processes may change at once."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hasten.errors import InputError

LOCK_WAIT_S = 60


def save(text: str, path: str | Path) -> Path:
    """Writes a text file beside its place, then renames it there: no one ever sees half a file.

    A link goes on pointing to the file, which is replaced where it is.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    path = Path(path)
    place = _followed(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=f".{place.name[:40]}.", dir=place.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Choose another folder.") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(aside).chmod(0o666 & ~_umask())
        Path(aside).replace(place)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Choose another place.") from None
    finally:
        Path(aside).unlink(missing_ok=True)
    return path


def whole(text: str) -> str:
    """The text with a question mark for each half of a character (a lone surrogate), which no file can hold.

    JSON can: as ``\\ud800``.
    """
    return text.encode(errors="replace").decode()


def save_json(data: object, path: str | Path) -> Path:
    """Saves data as indented JSON. Raises InputError as ``save``, ValueError for NaN, which JSON has not."""
    return save(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


@contextmanager
def updating(path: str | Path) -> Iterator[Path]:
    """Holds a file for reading, changing and saving; other processes that do the same wait for their turn.

    The lock is ``.<name>.lock`` beside the file: reentrant within a thread, released when the process dies.

    Yields:
        the path.

    Raises:
        InputError: the folder cannot be made or written to, or another process holds the file for a minute.
    """
    path = Path(path)
    place = _followed(path)
    lock = FileLock(place.with_name(f".{place.name}.lock"), is_singleton=True)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=LOCK_WAIT_S)
    except Timeout:
        raise InputError(
            f"{path} is held by another process for {LOCK_WAIT_S} s (lock file {lock.lock_file}). Wait for its "
            "end, or stop it."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Choose another folder.") from None
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
