"""The end that a process was asked for, by SIGTERM or Ctrl-C: an exception, and the memory that it was raised.

It is raised wherever the process happens to be, and there it may get lost. Who calls Python from C may put an
error of its own in its place: of a sequence that becomes a tensor, as all do that are read from safetensors files,
any exception of ``__getitem__`` comes out as a ``ValueError``. In finalizers and callbacks of weak references it
is printed and forgotten. So who judges a failure asks here first.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Terminated(BaseException):
    """SIGTERM as an exception, so that everything open is left in order; no job's ``except`` holds it up."""


_raised: list[type[BaseException]] = []


def terminated_by_signal() -> None:
    """From now on SIGTERM raises ``Terminated`` in the main thread, from where this is called."""
    signal.signal(signal.SIGTERM, _terminate)


def remember_interrupts() -> None:
    """From now on also a KeyboardInterrupt is remembered, and SIGTERM raises one, for a program that ends by it.

    Where the program has its own use for a signal, or this is not its thread, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in usual.items():
        if signal.getsignal(number) is handler:
            signal.signal(number, _interrupt)


def leave_if_asked() -> None:
    """Raises again what was raised for the end: what has gone wrong since then may be its own doing."""
    if _raised:
        raise _raised[0]


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what cleans up now is not disturbed
    _raised.append(Terminated)
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    _raised.append(KeyboardInterrupt)
    raise KeyboardInterrupt
