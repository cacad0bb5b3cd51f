"""What may go wrong with a store of trials that was opened: damage, a full disk, a database that has gone away."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from optuna.exceptions import StorageInternalError
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from hasten.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")
Kept = TypeVar("Kept", bound=BaseModel)


class Located(Protocol):
    """Something that knows which database it is in."""

    url: str


S = TypeVar("S", bound=Located)


def reached(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Turns what a database raises inside a method of a store into StoreError."""

    @wraps(method)
    def called(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(store, *args, **kwargs)
        except (SQLAlchemyError, StorageInternalError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise StoreError(
                f"The store of trials {store.url!r} can no longer be read or written: {reason}. All trials that "
                "were finished before are kept: mend it, and give the same command again."
            ) from None

    return called


def read(kind: type[Kept], text: object, what: str, url: str) -> Kept:
    """What the store keeps as JSON text. Raises StoreError where that is damaged."""
    try:
        return kind.model_validate_json(text)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise StoreError(
            f"The store of trials {url!r} is damaged: {what} cannot be read ({where}: {first['msg']}). Give "
            "another --storage, or remove the study with Optuna's own command, `optuna delete-study`."
        ) from None
