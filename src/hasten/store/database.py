"""Opens the database that holds the studies: an SQLite file by default, or any database that SQLAlchemy knows."""

from __future__ import annotations

import random
import sqlite3
import time
from functools import partial
from pathlib import Path

import optuna
import platformdirs
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from hasten.errors import InputError
from hasten.files import updating
from hasten.store._faults import is_of
from hasten.store.memory import in_memory

MEMORY = "memory"
SQLITE = "sqlite:///"
ANY_FILE = f"{SQLITE}trials.db"
"""The URL that Optuna and SQLAlchemy get for a file that hasten opens itself."""
LOCK_WAIT_S = 60
ATTEMPTS, PAUSE_S = 10, 0.5
ALREADY_THERE = (IntegrityError, ProgrammingError)
"""The errors of a process that makes tables which another one has just made."""


def default_storage() -> str:
    """Returns the URL of the SQLite file in the user's data folder, so that a search resumes from every folder."""
    return storage_url(str(Path(platformdirs.user_data_dir("hasten", appauthor=False)) / "trials.db"))


def storage_url(storage: str | None) -> str:
    """Returns a URL for SQLAlchemy from a URL or the path of an SQLite file; None means the default. ``memory`` is
    returned unchanged."""
    if storage is None:
        return default_storage()
    if "://" in storage or storage == MEMORY:
        return storage
    return f"sqlite:///{Path(storage).expanduser().absolute()}"


def open_database(storage: str | None) -> BaseStorage:
    """Opens the storage, and creates its file, folder and tables where they are missing.

    Raises:
        InputError: the URL is wrong, its driver is missing, or the database cannot be reached or written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage_url(storage)
    if url == MEMORY:
        memory: BaseStorage = in_memory(InMemoryStorage)
        return memory
    try:
        path = sqlite_file(storage)
        if path is None:
            return _on_server(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with updating(path):  # otherwise one of two processes could find the other's half-made tables, and give up
            return RDBStorage(ANY_FILE, engine_kwargs={"creator": partial(_connection, path)})
    except (SQLAlchemyError, StorageInternalError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"The store of trials {url!r} cannot be opened: {reason}. Give --storage the path of an SQLite file "
            "that you may write, or the URL of a database such as postgresql://user@host/name."
        ) from None


def sqlite_file(storage: str | None) -> Path | None:
    """Returns the file of an SQLite database, or None for other storages and for URLs that contain more than a
    path."""
    url = storage_url(storage)
    given = url.removeprefix(SQLITE)
    as_url = storage is not None and "://" in storage
    if given == url or not given or (as_url and any(sign in given for sign in "?%")):
        return None
    return Path(given)


def _on_server(url: str) -> RDBStorage:
    """Opens a database that a server keeps. Where another process makes its tables at the same time, this one
    fails to, and tries again: it then finds them."""
    for attempt in range(ATTEMPTS):
        try:
            return RDBStorage(url)
        except (SQLAlchemyError, StorageInternalError) as error:
            if attempt == ATTEMPTS - 1 or not is_of(error, ALREADY_THERE):
                raise
        time.sleep(random.uniform(0.5, 1.5) * PAUSE_S)
    raise AssertionError  # the last attempt returns or raises


def _connection(path: Path) -> sqlite3.Connection:
    """Opens the file by its path, because ``?``, ``#``, ``%`` and braces have other meanings in a URL than in a
    file name."""
    return sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False)
