"""The limit of time for what is measured with a pipeline: a trial that hangs is ended, and fails.

A limit is kept to inside ``limited`` alone, whose watchdog ends what exceeds it (``watchdog.py``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hasten.errors import MeasurementError
from hasten.measure.failures import PlanTimeError
from hasten.measure.termination import TimeUp, forget

LEAST_S, UNKNOWN_S = 300.0, 7200.0
"""The least seconds between the ends of two calls before the second counts as hanging, and the seconds for a
call of a baseline of which none has ended yet."""
TIMES = 20
"""The factor by which a call may take longer than the longest of the baseline's."""


def _unheard() -> None:
    """Where no limit is kept to, nobody needs to know."""


@dataclass
class Stretch:
    """Something that is measured and must end.

    Attributes:
        until: the moment, of ``time.monotonic``, after which it is ended.
        keeps: a command by which another process stores the failed trial; empty where there is none to store.
        of_baseline: whether the baseline is under way, so that the plan is not to blame.
        thread: the thread that measures.
        over: set when it has ended.
    """

    until: float
    keeps: tuple[str, ...] = ()
    of_baseline: bool = False
    thread: int = field(default_factory=threading.get_ident)
    over: threading.Event = field(default_factory=threading.Event)


class TimeLimit:
    """The limit of time of one pipeline, and what is under way there.

    Attributes:
        given_s: the most seconds of a whole trial, not counting the baseline's calls, and of each other call.
            None: a call must end within 20 times the seconds of the baseline's longest call, and within 5 minutes
            at least.
        under_way: what must end; None between two measurements.
        changed: called when a trial begins, and when the baseline's own calls in it begin and end.
    """

    def __init__(self) -> None:
        self.given_s: float | None = None
        self.under_way: Stretch | None = None
        self.changed: Callable[[], None] = _unheard
        self._baseline_s: float | None = None

    @property
    def seconds(self) -> float:
        """The seconds that are allowed now."""
        if self.given_s is not None:
            return self.given_s
        return UNKNOWN_S if self._baseline_s is None else max(LEAST_S, TIMES * self._baseline_s)

    @property
    def reason(self) -> str:
        """Why what is under way is ended, in words."""
        if self.given_s is not None:
            return f"Time-out: it did not end within the {self.given_s:g} s that a trial may take"
        baseline = (
            "" if self._baseline_s is None else f"; the longest of the baseline took {self._baseline_s:.3g} s"
        )
        return f"Time-out: no call ended within {self.seconds:.0f} s{baseline}"

    @contextmanager
    def trial(self, keeps: Sequence[str] = ()) -> Iterator[None]:
        """Limits the time of a trial inside the context. ``keeps`` is the command that stores it as failed where
        this process no longer can."""
        with self._begun(Stretch(time.monotonic() + self.seconds, tuple(keeps))):
            self.changed()
            yield

    @contextmanager
    def baseline(self) -> Iterator[None]:
        """Marks the baseline's own calls inside the context. They have the limit to themselves, and a trial is
        given the time that they took.

        Raises:
            MeasurementError: the baseline exceeds the limit.
        """
        trial, began = self.under_way, time.monotonic()
        until = 0.0 if trial is None else trial.until
        if trial is not None:
            trial.until, trial.of_baseline = began + self.seconds, True
            self.changed()
        try:
            yield
        except PlanTimeError as error:
            raise MeasurementError(f"The baseline itself fails: {error}") from None
        finally:
            if trial is not None:
                trial.until, trial.of_baseline = self._after_baseline(until, began), False
                self.changed()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Limits the time of one call of the pipeline inside the context, as part of a trial or alone."""
        began = time.monotonic()
        if self.under_way is None:
            with self._begun(Stretch(began + self.seconds)):
                yield
            return
        yield
        if self.under_way.of_baseline:
            self._baseline_s = max(self._baseline_s or 0.0, time.monotonic() - began)
        if self.given_s is None:
            self.under_way.until = time.monotonic() + self.seconds

    def _after_baseline(self, until: float, began: float) -> float:
        now = time.monotonic()
        return now + self.seconds if self.given_s is None else until + now - began

    @contextmanager
    def _begun(self, stretch: Stretch) -> Iterator[None]:
        self.under_way = stretch
        try:
            yield
        except TimeUp as error:
            raise PlanTimeError(str(error)) from None
        finally:
            self.under_way = None
            stretch.over.set()
            forget(TimeUp)
