"""The progress of a batch, on standard error: a live table on a terminal, one line for each answer elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hasten.cli.bar import span, trial_line
from hasten.cli.out import say
from hasten.cli.show import COLOURS
from hasten.texts import cleaned

if TYPE_CHECKING:
    from hasten.records import Trial
    from hasten.search import Progress
    from hasten.workflow.batch import BatchAnswer, BatchProgress

LAST = 8
"""The number of latest answers that are shown."""


class Live:
    """Shows the progress of a running batch. ``update`` takes what the batch reports."""

    def __enter__(self) -> Live:
        from rich.console import Console
        from rich.live import Live as Screen

        self._console = Console(stderr=True)
        self._began, self._said, self._noted = time.monotonic(), 0, 0
        self._standing: BatchProgress | None = None
        self._told: dict[str, tuple[str, str]] = {}
        self._trials: dict[str, Trial] = {}
        self._screen = Screen(console=self._console, get_renderable=self._drawn, transient=True)
        if self._console.is_terminal:
            self._screen.start()
        return self

    def update(self, standing: BatchProgress) -> None:
        """Shows the state of the batch."""
        if self._standing is None or standing.stage != self._standing.stage:
            self._said = self._noted = 0
        self._standing = standing
        if not self._console.is_terminal:
            for note in standing.notes[self._noted :]:
                self._noted += 1
                self._console.print(cleaned(note), soft_wrap=True, highlight=False, markup=False)
            for device, (name, progress) in standing.running.items():
                self._tell(device, name, progress)
            for one in standing.done[self._said :]:
                self._said += 1
                self._console.print(_line(one, self._said, standing.total), soft_wrap=True, highlight=False)

    def _tell(self, device: str, name: str, progress: Progress | None) -> None:
        """Prints a line when an entry reaches another stage or finishes a trial."""
        stage = progress.stage if progress else "loading"
        clock = span(time.monotonic() - self._began)
        if self._told.get(device) != (name, stage):
            self._told[device] = name, stage
            say(f"{clock:>7}  {device}  {name}  {stage}", err=True)
        if progress and progress.trial and progress.trial is not self._trials.get(device):
            self._trials[device] = progress.trial
            say(f"{clock:>7}  {device}  {name}  {trial_line(progress.trial)}", err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._screen.stop()

    def _drawn(self) -> Any:
        from rich.markup import escape
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        if self._standing is None:
            table.add_row("starting")
            return table
        table.add_row(_head(self._standing, time.monotonic() - self._began))
        for device, (name, progress) in self._standing.running.items():
            table.add_row(f"[bold]{device}[/bold]  {name}  {_doing(progress)}")
        for note in self._standing.notes[-1:]:
            table.add_row(escape(cleaned(note)))
        first = max(0, len(self._standing.done) - LAST)
        for number, one in enumerate(self._standing.done[first:], first + 1):
            table.add_row(_line(one, number, self._standing.total))
        return table


def _head(now: BatchProgress, elapsed: float) -> str:
    counts = Counter[str](one.status for one in now.done)
    told = ", ".join(f"[{COLOURS[s]}]{counts[s]} {s}[/]" for s in COLOURS if counts[s])
    left = now.total - len(now.done) - len(now.running)
    rest = f", about {span(now.left_s)} to go" if now.left_s else ""
    done = f"{len(now.done)} of {now.total} done" + (f" ({told})" if told else "")
    return (
        f"[bold]{now.stage}[/bold]  {done}, {len(now.running)} running, {max(0, left)} left  {span(elapsed)}{rest}"
    )


def _doing(progress: Progress | None) -> str:
    from rich.markup import escape

    if progress is None:
        return "loading"
    best = f"best {progress.best.speedup:.2f}x  " if progress.best else ""
    settled = f"{progress.done} trials  " if progress.done else ""
    return escape(cleaned(f"{progress.stage}  {settled}{best}{progress.message}"))


def _line(one: BatchAnswer, number: int, total: int) -> str:
    from rich.markup import escape

    figures = f"{one.speedup:.2f}x" if one.speedup else ""
    asked = f" for {one.target} asked" if one.target else ""
    why = escape(cleaned(one.plan if one.held else one.reason))
    name = escape(cleaned(one.name or one.place))
    return f"{number}/{total} [{COLOURS[one.status]}]{one.status}[/] {name}  {figures}{asked}  {why}"
