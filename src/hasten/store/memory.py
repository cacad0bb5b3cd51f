"""The store ``memory``: one for all the searches of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_KEPT: ContextVar[list[Any] | None] = ContextVar("kept", default=None)


@contextmanager
def one_memory() -> Iterator[None]:
    """Meanwhile all that is opened as ``memory`` is one store: what one search finds, the next one knows."""
    if _KEPT.get() is not None:
        yield
        return
    token = _KEPT.set([])
    try:
        yield
    finally:
        _KEPT.reset(token)


def in_memory(make: Callable[[], Any]) -> Any:
    """What ``make`` gives: inside of ``one_memory`` the same each time, elsewhere a new one."""
    kept = _KEPT.get()
    if kept is None:
        return make()
    if not kept:
        kept.append(make())
    return kept[0]
