"""The end that a process was asked for by SIGTERM or Ctrl-C: an exception, and the memory that it was raised.

The exception is raised wherever the process happens to be, and may get lost there. C code that calls Python may
replace it by an error of its own: where a sequence becomes a tensor, as in reading safetensors files, any
exception of ``__getitem__`` turns into a ``ValueError``. In finalizers and callbacks of weak references it is
printed and dropped. Code that judges failures therefore calls ``leave_if_asked`` first.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Terminated(BaseException):
    """SIGTERM as an exception, so that everything open is closed in order. As a BaseException it passes every
    job's ``except Exception``."""


_raised: list[type[BaseException]] = []


def terminated_by_signal() -> None:
    """Makes SIGTERM raise ``Terminated`` in the main thread from now on."""
    signal.signal(signal.SIGTERM, _terminate)


def remember_interrupts() -> None:
    """Makes every KeyboardInterrupt be remembered from now on, and SIGTERM raise one, too.

    Nothing changes for a signal that the program handles itself, or outside of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in usual.items():
        if signal.getsignal(number) is handler:
            signal.signal(number, _interrupt)


def leave_if_asked() -> None:
    """Raises again the exception of the end, if there was one: any failure since then may be its consequence."""
    if _raised:
        raise _raised[0]


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not disturb the cleaning up
    _raised.append(Terminated)
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    _raised.append(KeyboardInterrupt)
    raise KeyboardInterrupt
