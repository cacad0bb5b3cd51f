"""The end that a process was asked for by SIGTERM or Ctrl-C: an exception, and the memory that it was raised.

The exception is raised wherever the process happens to be, and may get lost there. C code that calls Python may
replace it by an error of its own: where a sequence becomes a tensor, as in reading safetensors files, any
exception of ``__getitem__`` turns into a ``ValueError``. Code that judges failures therefore calls
``leave_if_asked`` first. Finalizers and callbacks of weak references print an exception and drop it. There it is
raised once more a moment later, in whatever the process does by then.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from types import FrameType
from typing import Final

AGAIN_S: Final = 0.05
"""Seconds after which a dropped exception is raised again. The finalizer that dropped it has returned by then."""


class Terminated(BaseException):
    """SIGTERM as an exception, so that everything open is closed in order. As a BaseException it passes every
    job's ``except Exception``."""


_raised: dict[type[BaseException], int] = {}
"""The exceptions of the end that were raised, and the signal that each came with."""


def terminated_by_signal() -> None:
    """Makes SIGTERM raise ``Terminated`` in the main thread from now on."""
    signal.signal(signal.SIGTERM, _terminate)
    _raise_what_is_dropped()


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
    _raise_what_is_dropped()


def leave_if_asked() -> None:
    """Raises again the exception of the end, if there was one: any failure since then may be its consequence."""
    for exception in _raised:
        raise exception


def _raise_what_is_dropped() -> None:
    """Replaces Python's hook for exceptions that nothing can catch. It prints all but those of this module."""
    usual = sys.unraisablehook
    if getattr(usual, "__module__", None) == __name__:
        return

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        error = dropped.exc_value
        number = None if error is None else _raised.get(type(error))
        if number is None:
            usual(dropped)
        else:
            _raise_again(number)

    sys.unraisablehook = hook


def _raise_again(number: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:  # SIGTERM is ignored after the first one
        signal.signal(number, _terminate)
    again = threading.Timer(AGAIN_S, _thread.interrupt_main, (number,))
    again.daemon = True
    again.start()


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not disturb the cleaning up
    _raised[Terminated] = number
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    _raised[KeyboardInterrupt] = number
    raise KeyboardInterrupt
