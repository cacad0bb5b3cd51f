"""The end that a process or a trial is asked for by a signal: an exception, and the memory that it was raised.

A process is asked by SIGTERM or Ctrl-C, and a trial that exceeds its limit of time by its watchdog.

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


class TimeUp(BaseException):
    """What is measured has exceeded its limit of time. As a BaseException it passes the ``except Exception`` of
    methods and libraries."""


_raised: dict[type[BaseException], tuple[BaseException, int]] = {}
"""The exceptions of the end that were raised, and the signal that each came with."""


def terminated_by_signal() -> None:
    """Makes SIGTERM raise ``Terminated`` in the main thread from now on."""
    signal.signal(signal.SIGTERM, _terminate)
    raise_what_is_dropped()


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
    raise_what_is_dropped()


def leave_if_asked() -> None:
    """Raises again the exception of the end, if there was one: any failure since then may be its consequence."""
    for error, _ in _raised.values():
        raise error.with_traceback(None)


def remembered(error: BaseException, number: int) -> BaseException:
    """Returns an exception of the end, which is raised again where it gets lost. ``number`` is its signal."""
    _raised[type(error)] = error, number
    return error


def pending(kind: type[BaseException]) -> bool:
    """Returns whether an exception of the end was raised, and has not yet done what it is for."""
    return kind in _raised


def forget(kind: type[BaseException]) -> None:
    """Forgets an exception of the end, once it has done what it is for."""
    _raised.pop(kind, None)


def raise_what_is_dropped() -> None:
    """Replaces Python's hook for exceptions that nothing can catch. It prints all but those of this module."""
    usual = sys.unraisablehook
    if getattr(usual, "__module__", None) == __name__:
        return

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        error = dropped.exc_value
        raised = None if error is None else _raised.get(type(error))
        if raised is None:
            usual(dropped)
        else:
            _raise_again(raised[1])

    sys.unraisablehook = hook


def interrupt_main(number: int) -> None:
    """Has the main thread handle a signal. Where the system allows, it also leaves a call in which it sleeps."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def _raise_again(number: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:  # SIGTERM is ignored after the first one
        signal.signal(number, _terminate)
    again = threading.Timer(AGAIN_S, interrupt_main, (number,))
    again.daemon = True
    again.start()


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not disturb the cleaning up
    raise remembered(Terminated(), number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise remembered(KeyboardInterrupt(), number)
