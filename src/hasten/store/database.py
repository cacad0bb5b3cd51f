"""Opens the database that holds the studies: SQLite by default, anything SQLAlchemy knows by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
        engine = _engine(url)
        with _alone(url):
            return RDBStorage(url, engine_kwargs=engine)
    except (SQLAlchemyError, StorageInternalError, ImportError, OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"The store of trials {url!r} cannot be opened: {reason}. Give --storage the path of an SQLite file "
            "that you may write, or the URL of a database such as postgresql://user@host/name."
        ) from None


def _engine(url: str) -> dict[str, dict[str, int]]:
    if not url.startswith(SQLITE):
        return {}
    Path(url.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    return {"connect_args": {"timeout": LOCK_WAIT_S}}


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Of two processes that create the tables of a new file at once, one would find them half made and give up."""
    if not url.startswith(SQLITE):
        yield
        return
    with updating(url.removeprefix(SQLITE)):
        yield
