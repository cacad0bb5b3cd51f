"""Opens the database that holds the studies: SQLite by default, anything SQLAlchemy knows by URL."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import optuna
import platformdirs
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from hasten.errors import InputError
from hasten.files import updating
from hasten.store.memory import in_memory

MEMORY = "memory"
SQLITE = "sqlite:///"
ANY_FILE = f"{SQLITE}trials.db"
"""What Optuna and SQLAlchemy are told of a file that hasten opens itself."""
LOCK_WAIT_S = 60


def default_storage() -> str:
    """The SQLite file in the user's data folder: the same from every folder, so that a search resumes anywhere."""
    return storage_url(str(Path(platformdirs.user_data_dir("hasten", appauthor=False)) / "trials.db"))


def storage_url(storage: str | None) -> str:
    """A URL for SQLAlchemy from a URL, the path of an SQLite file, ``memory``, or None for the default."""
    if storage is None:
        return default_storage()
    if "://" in storage or storage == MEMORY:
        return storage
    return f"sqlite:///{Path(storage).expanduser().absolute()}"


def open_database(storage: str | None) -> BaseStorage:
    """Opens the storage and creates file, folder and tables where they are missing.

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
            return RDBStorage(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with updating(path):  # of two that create the tables at once, one would find them half made and give up
            return RDBStorage(ANY_FILE, engine_kwargs={"creator": partial(_connection, path)})
    except (SQLAlchemyError, StorageInternalError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"The store of trials {url!r} cannot be opened: {reason}. Give --storage the path of an SQLite file "
            "that you may write, or the URL of a database such as postgresql://user@host/name."
        ) from None


def sqlite_file(storage: str | None) -> Path | None:
    """The file of an SQLite database; None for any other storage, and for a URL that says more than a path."""
    url = storage_url(storage)
    given = url.removeprefix(SQLITE)
    as_url = storage is not None and "://" in storage
    if given == url or not given or (as_url and any(sign in given for sign in "?%")):
        return None
    return Path(given)


def _connection(path: Path) -> sqlite3.Connection:
    """Opened by its path: in a URL ``?``, ``#``, ``%`` and braces mean something else than in a file's name."""
    return sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False)
