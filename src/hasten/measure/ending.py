"""The end that a process was asked for by SIGTERM: an exception, and the memory that it was raised.

It is raised wherever the process happens to be, and there it may get lost. Who calls Python from C may put an
error of its own in its place: of a sequence that becomes a tensor, as all do that are read from safetensors files,
any exception of ``__getitem__`` comes out as a ``ValueError``. In finalizers and callbacks of weak references it
is printed and forgotten. So who judges a failure asks here first.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_asked = threading.Event()


class Terminated(BaseException):
    """SIGTERM as an exception, so that everything open is left in order; no job's ``except`` holds it up."""


def terminated_by_signal() -> None:
    """From now on SIGTERM raises ``Terminated`` in the main thread, from where this is called."""
    signal.signal(signal.SIGTERM, _terminate)


def leave_if_asked() -> None:
    """Raises ``Terminated`` again where it was raised: what has gone wrong since then may be its own doing."""
    if _asked.is_set():
        raise Terminated


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what cleans up now is not disturbed
    _asked.set()
    raise Terminated
