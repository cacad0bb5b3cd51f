"""Ends a measurement that exceeds its limit of time.

The first end is an exception in the thread that measures. Where that does not come back, C code hangs: another
process stores the plan as failed, and then this process does what ``when_stuck`` says. Where this process can no
longer do anything at all, because the code holds Python's global lock, a process beside it does so
(``_overseer.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hasten.measure._overseer import stored
from hasten.measure.stuck import GIVE_UP, GO_ON, HAS_SIGNALS, ITS_PLAN, NO_PLAN, way
from hasten.measure.termination import TimeUp, interrupt_main, pending, raise_what_is_dropped, remembered
from hasten.measure.time_limit import LEAST_S, Stretch, TimeLimit

OVERSEER = Path(__file__).with_name("_overseer.py")
GRACE_S, MOST_PAUSE_S = 15.0, 5.0
"""The seconds in which what is ended must come back, and the most seconds between two looks."""


@contextmanager
def limited(limit: TimeLimit, given_s: float | None = None) -> Iterator[None]:
    """Keeps to the limit inside the context. ``given_s`` is ``TimeLimit.given_s``."""
    limit.given_s = given_s
    watchdog = _Watchdog(limit)
    thread = threading.Thread(target=watchdog.watch, name="hasten time limit", daemon=True)
    with watchdog.interrupting(), watchdog.overseen():
        thread.start()
        try:
            yield
        finally:
            watchdog.over.set()
            thread.join(MOST_PAUSE_S)


class _Watchdog:
    def __init__(self, limit: TimeLimit) -> None:
        self._limit, self.over = limit, threading.Event()
        least_s = LEAST_S if limit.given_s is None else limit.given_s
        self._pause_s = min(MOST_PAUSE_S, least_s / 10)
        self._to_end: Stretch | None = None
        self._by_signal = self._silenced = False
        self._overseer: subprocess.Popen[bytes] | None = None
        self._saying = threading.Lock()

    def watch(self) -> None:
        """Looks every few seconds, in a thread of its own. Time in which this process was stopped does not
        count."""
        before = time.monotonic()
        while not self.over.wait(self._pause_s):
            stretch, now = self._limit.under_way, time.monotonic()
            passed_s, before = now - before, now
            if stretch is not None and passed_s > 3 * self._pause_s + 1:
                stretch.until += passed_s
            self._say()
            if stretch is not None and now > stretch.until:
                self._end(stretch)
                before = time.monotonic()

    def _end(self, stretch: Stretch) -> None:
        self._to_end = stretch
        self._raise(stretch)
        if not stretch.over.wait(GRACE_S / 2) and pending(TimeUp):  # some code has caught it
            self._raise(stretch)
        if not stretch.over.wait(GRACE_S / 2):
            kept = bool(stretch.keeps) and not stretch.of_baseline and stored(list(stretch.keeps))
            if not stretch.over.is_set():
                self._silenced = True
                self._say()
                way.act(ITS_PLAN if kept else NO_PLAN, kept)
                stretch.over.wait()  # it was told once
        self._to_end = None

    def _raise(self, stretch: Stretch) -> None:
        """Raises TimeUp in the thread that measures. A signal also interrupts a call that sleeps, but reaches the
        main thread only."""
        if self._by_signal and stretch.thread == threading.main_thread().ident:
            interrupt_main(signal.SIGALRM)
        elif self._limit.under_way is stretch:
            reason = self._limit.reason
            kind = type("TimeUp", (TimeUp,), {"__str__": lambda _: reason})  # it is raised without arguments
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(stretch.thread), ctypes.py_object(kind))

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Handles SIGALRM inside the context, unless the program does so itself or this is not its main thread."""
        own = HAS_SIGNALS and threading.current_thread() is threading.main_thread()
        if not own or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
            yield
            return
        raise_what_is_dropped()
        signal.signal(signal.SIGALRM, self._interrupt)
        self._by_signal = True
        try:
            yield
        finally:
            self._by_signal = False
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._to_end is not None and self._limit.under_way is self._to_end:
            raise remembered(TimeUp(self._limit.reason), number)

    @contextmanager
    def overseen(self) -> Iterator[None]:
        """Has a process beside this one, inside the context, that acts where no thread of this one can."""
        if not HAS_SIGNALS:
            yield
            return
        command = [sys.executable, "-I", "-S", str(OVERSEER), str(os.getpid())]
        self._overseer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._limit.changed, before = self._say, self._limit.changed
        try:
            yield
        finally:
            self._limit.changed = before
            with contextlib.suppress(BrokenPipeError):
                self._overseer.communicate()

    def _say(self) -> None:
        """Tells the process beside this one until when it must hear of this one again."""
        if self._overseer is None or self._overseer.stdin is None:
            return
        with self._saying, contextlib.suppress(BrokenPipeError, ValueError):  # without it, the thread is there
            self._overseer.stdin.write(self._line(self._limit.under_way).encode() + b"\n")
            self._overseer.stdin.flush()

    def _line(self, stretch: Stretch | None) -> str:
        if stretch is None or self._silenced:
            return json.dumps({"left_s": None})
        left_s = stretch.until - time.monotonic() + 2 * GRACE_S + 2 * self._pause_s
        keeps = [] if stretch.of_baseline else list(stretch.keeps)
        told = {"kept": f"{ITS_PLAN} {way.again}".strip(), "lost": NO_PLAN}
        ends = {"go_on": GO_ON if way.ended else 0, "give_up": GIVE_UP if way.ended else 0}
        return json.dumps({"left_s": left_s, "keeps": keeps, **told, **ends})
