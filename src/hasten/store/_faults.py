"""Handles the failures of a store of trials that was opened: damage, a full disk, a database that has gone
away."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from optuna.exceptions import StorageInternalError
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from hasten.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")
Kept = TypeVar("Kept", bound=BaseModel)


class Located(Protocol):
    """An object that knows the URL of its database and can close its connections."""

    url: str

    def disconnect(self) -> None: ...


S = TypeVar("S", bound=Located)


PATIENCE_S, PAUSE_S = 5.0, 0.5
"""How long an unreachable database is asked again, and the pauses between. A wait for a lock takes longer than
this, so that it is not repeated."""
PASSING = (OperationalError, InterfaceError, PendingRollbackError)
"""The errors that may pass soon: a lock, a full disk, a restart of the database."""


def reached(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Wraps a method that uses the store's database: it tries again for a while, and raises StoreError if that
    fails."""

    @wraps(method)
    def called(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return method(store, *args, **kwargs)
            except (SQLAlchemyError, StorageInternalError) as error:
                if not is_of(error, PASSING) or time.monotonic() > until:
                    raise _lost(store, error) from None
            store.disconnect()
            time.sleep(PAUSE_S)

    return called


def is_of(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    """Returns whether an error is of these kinds, also where Optuna has wrapped it. The cause of SQLAlchemy's own
    errors is that of the driver."""
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def _lost(store: Located, error: Exception) -> StoreError:
    reason = str(error.__cause__ or error).splitlines()[0]
    return StoreError(
        f"The store of trials {store.url!r} can no longer be read or written: {reason}. All trials that were "
        "finished before are kept: mend it, and give the same command again."
    )


def read(kind: type[Kept], text: object, what: str, url: str) -> Kept:
    """Returns a record that the store holds as JSON text. Raises StoreError where the text is damaged.

    ``what`` names the record in the message, and ``url`` the store.
    """
    try:
        return kind.model_validate_json(text)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise StoreError(
            f"The store of trials {url!r} is damaged: {what} cannot be read ({where}: {first['msg']}). Give "
            "another --storage, or remove the study with Optuna's own command, `optuna delete-study`."
        ) from None
