"""The progress of one request, on standard error: two lines that stay, and one line for each trial above them.

In a pipe the same text comes as plain lines, each at once and at full length.
"""

from __future__ import annotations

import re
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hasten.cli.out import say
from hasten.texts import cleaned

if TYPE_CHECKING:
    from hasten.plan import Plan
    from hasten.records import Trial
    from hasten.search import Progress
    from hasten.search.believed import Believed

WIDEST = 40
"""Greatest width of the bar, in columns."""
EVERY_S = 30
"""Seconds of silence after which a pipe gets a line that the work goes on."""
_COUNT = re.compile(r"(\d+)/(\d+)$")


class Bar:
    """Shows the progress of a request. ``update`` takes what the search reports.

    Args:
        limit_s: the time limit of the search, in seconds.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._limit_s = limit_s
        self._now: Progress | None = None
        self._best: Believed | None = None
        self._numbers: dict[Plan, int] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.live import Live

        self._began = self._stage_began = self._said = time.monotonic()
        self._console = Console(stderr=True)
        self._screen = Live(console=self._console, get_renderable=self._drawn, transient=True)
        if self._console.is_terminal:
            self._screen.start()
        else:
            self._say("starting")
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def update(self, progress: Progress) -> None:
        """Shows the state of the search."""
        before, self._now = self._now, progress
        self._best = progress.best or self._best
        if before is None or before.stage != progress.stage:
            self._stage_began = time.monotonic()
            if not self._console.is_terminal:
                self._say(f"{progress.stage} {progress.message}".strip())
        if progress.trial is not None:
            self._say(f"{self._ordinal(progress.stage, progress.trial)}  {trial_line(progress.trial)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._console.is_terminal:
            self._screen.stop()

    def _ordinal(self, stage: str, trial: Trial) -> str:
        """Returns ``trial 3``, or ``trial 3 again`` where the plan is measured once more."""
        again = " again" if trial.plan in self._numbers else ""
        number = self._numbers.setdefault(trial.plan, len(self._numbers) + 1)
        return f"{'plan' if stage == 'compare' else 'trial'} {number}{again}"

    def _say(self, text: str) -> None:
        """Prints a line that stays. A terminal wraps long lines."""
        self._said = time.monotonic()
        text = f"{span(self._said - self._began):>7}  {cleaned(text)}"
        if self._console.is_terminal:
            self._console.print(text, soft_wrap=True, markup=False, highlight=False)
        else:
            say(f"{text}{self._standing()}", err=True)

    def _standing(self) -> str:
        """Returns the contents of a terminal's two lines, to be appended to a plain line."""
        found = [text for text in (self._left(), best_line(self._now, self._best)) if text]
        return f"  [{'; '.join(found)}]" if found else ""

    def _beat(self) -> None:
        """Tells a pipe from time to time what is going on while nothing else is printed."""
        while not self._ended.wait(1):
            if time.monotonic() - self._said >= EVERY_S:
                now = self._now
                self._say(f"{now.stage} {now.message}".strip() if now else "starting")

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = self._now
        stage, counts = (now.stage if now else "starting"), _counts(now)
        clock = "  ".join(filter(None, [counts, span(time.monotonic() - self._began), self._left()]))
        done, total = _share(now)
        width = min(WIDEST, max(4, self._console.width - len(stage) - len(clock) - 4))
        bar = ProgressBar(total=total, completed=done, width=width, pulse=total is None)
        first = Table.grid(padding=(0, 2, 0, 0))
        first.add_row(Text(stage, style="bold", no_wrap=True), bar, Text(clock, no_wrap=True))
        told = " · ".join(filter(None, [best_line(now, self._best), now.message if now else ""]))
        return Group(first, Text(cleaned(told) or "…", no_wrap=True, overflow="ellipsis"))

    def _left(self) -> str:
        """Returns the most time that the stage may still take, by the trials' pace and the search's time limit."""
        now, found = self._now, []
        if now is None or not now.expected:
            return ""
        if (fresh := now.done - now.reused) > 0:
            found.append((time.monotonic() - self._stage_began) / fresh * (now.expected - now.done))
        if self._limit_s is not None:
            found.append(max(0.0, self._limit_s - (time.monotonic() - self._began)))
        return f"up to {span(min(found))} left" if found else ""


def trial_line(trial: Trial) -> str:
    """Returns a line for a finished trial: its result and its plan."""
    speed = f"{trial.speedup:.2f}x" if trial.latency else ""
    losses = ", ".join(f"{metric} loss {loss.loss:.4f}" for metric, loss in trial.losses.items())
    why = f"{trial.status}: {trial.reason}" if trial.reason else ""
    return "  ".join(filter(None, [speed, losses, str(trial.plan), why]))


def best_line(now: Progress | None, best: Believed | None) -> str:
    """Returns a line with the best trial so far and what was asked for."""
    if now is None or now.stage not in ("search", "fallback", "confirm"):
        return ""
    if best is None:
        return f"none yet, asked {now.asked}" if now.asked else ""
    asked = f" of {now.asked}" if now.asked else ""
    losses = [
        f"{m} loss {best.losses[m].loss:.4f} of {limit:g}" for m, limit in now.limits.items() if m in best.losses
    ]
    return f"best {best.speedup:.2f}x{asked}" + "".join(f", {text}" for text in losses)


def span(seconds: float) -> str:
    """Returns a time as ``0:42`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _counts(now: Progress | None) -> str:
    """Returns the number of trials so far. Their total is only an estimate, which the bar shows."""
    if now is None or not now.done:
        return ""
    if now.stage == "compare":
        return f"{now.done} of {now.expected} plans" if now.expected else ""
    return f"{now.done} {'trial' if now.done == 1 else 'trials'}"


def _share(now: Progress | None) -> tuple[float, float | None]:
    """Returns how much of the stage is done, and the total: trials, or the count in the message."""
    if now and now.expected:
        return now.done, now.expected
    if now and (match := _COUNT.search(now.message)):
        return float(match[1]), float(match[2])
    return 0, None
