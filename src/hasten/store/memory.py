"""The storage ``memory``, which all searches of a run share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_SHARED: ContextVar[list[Any] | None] = ContextVar("shared", default=None)


@contextmanager
def one_memory() -> Iterator[None]:
    """Makes ``memory`` one and the same store inside the context, so that each search finds the trials of those
    before."""
    if _SHARED.get() is not None:
        yield
        return
    token = _SHARED.set([])
    try:
        yield
    finally:
        _SHARED.reset(token)


def in_memory(make: Callable[[], Any]) -> Any:
    """Returns what ``make`` returns: the same object each time inside of ``one_memory``, and a new one
    elsewhere."""
    shared = _SHARED.get()
    if shared is None:
        return make()
    if not shared:
        shared.append(make())
    return shared[0]
