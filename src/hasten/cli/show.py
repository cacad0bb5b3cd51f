"""Prints what people read. Answers go to standard output, everything else to standard error."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hasten.cli.out import say, say_json, written
from hasten.errors import HastenError, WriteError
from hasten.texts import cleaned

if TYPE_CHECKING:
    from hasten.answer import Answer
    from hasten.cli.checks import Check
    from hasten.script.verify import Verification
    from hasten.task import Setting, Task
    from hasten.workflow.tasks import MadeRequest

APART_S = 5
"""Least number of seconds between two progress lines in a pipe."""
UNBROKEN = 1000
"""Width of a line, in characters, that goes to a file or another program."""
OUTCOMES = {"confirmed": "green", "not refuted": "yellow", "refuted": "red"}
COLOURS = {"met": "green", "likely": "yellow", "infeasible": "yellow", "undecided": "yellow", "failed": "red"}


def document(data: Any) -> None:
    """Prints the one JSON document of ``--json``."""
    say_json(data)


def note(text: str) -> None:
    say(text, err=True)


def error(error: HastenError, *, as_json: bool) -> None:
    """Prints the message to standard error, and with ``--json`` also a document to standard output."""
    say(f"Error: {error}", err=True, fg="red")
    if as_json:
        with suppress(WriteError):  # its cause was already printed
            document({"status": "error", "kind": type(error).__name__, "reason": str(error)})


def task(task: Task) -> None:
    """Prints a parsed request, line by line."""
    loss = ", ".join(f"{metric} below {limit:g}{task.limits.suffix}" for metric, limit in task.limits.items())
    lines = {
        "model": task.model,
        "scheduler": task.scheduler,
        "steps": task.steps,
        **task.own_setting,
        "methods": _methods(task),
        "parameters": "; ".join(f"{m}: {_pairs(p)}" for m, p in task.parameters.items()) or "searched",
        "target": task.target or "none",
        "loss": loss or "no limit",
    }
    if task.mode == "plain":
        lines = {name: value for name, value in lines.items() if name not in ("parameters", "target", "loss")}
    _lines(lines)
    for assumption in task.assumptions:
        say(f"assumed: {assumption}", fg="yellow")


def _methods(task: Task) -> str:
    if task.methods is None:
        but = f" but {', '.join(task.excluded)}" if task.excluded else ""
        return ("any lossless one" if task.lossless else "any") + but
    return (" or " if task.one_of else ", ").join(task.methods) or "none"


def answer(answer: Answer) -> None:
    """Prints the verdict, its figures, and the paths of the files."""
    from hasten.records import between

    say(answer.status, fg=COLOURS[answer.status], bold=True, nl=False)
    say(f": {answer.task.model}, {answer.task.scheduler}, {answer.task.steps} steps")
    shown = answer.shown
    if shown.equal_time and shown.equal_time.says:
        say(shown.equal_time.says)
    for text in answer.task.assumptions:
        say(f"assumed: {text}")
    asked = f"requested {answer.task.target}, measured " if answer.task.target else ""
    interval = between(shown.speedup_interval, ".2f", shown.confidence)
    lines = {
        "reason": answer.reason,
        "plan" if shown is answer else "best plan": shown.plan_text + " (what you asked for)" * shown.dominated,
        "speedup": shown.speedup and f"{asked}{shown.speedup:.2f}x ({interval})",
        "latency": shown.latency_s and f"{_times(shown)} a call",
        "loss": "; ".join(_losses(shown)),
        "instead of": _instead_of(shown),
        "equal time": _equal_time(shown),
        "verified": _verified(answer),
        "trials": answer.trials or "",
        "script": answer.script,
        "report": answer.report,
    }
    _lines({name: value for name, value in lines.items() if value not in (None, "")})
    for warning in dict.fromkeys(answer.warnings + shown.warnings):
        say(_wrapped(f"note: {warning}", 6), fg="yellow")


def setting(setting: Setting) -> str:
    """Returns the setting in one line."""
    size = f"{setting.width}×{setting.height} pixels"
    where = f"guidance {setting.guidance_scale:g}, {setting.dtype} on {setting.device}"
    return f"{setting.model}, {setting.scheduler}, {setting.steps} steps, {size}, {where}"


def requests(made: Sequence[MadeRequest]) -> None:
    """Prints one sentence a line, in the form that can be read again."""
    for one in made:
        say(one.request)


def verification(found: Verification) -> None:
    """Prints the outcome of a verification and the figures behind it."""
    say(found.outcome, fg=OUTCOMES[found.outcome], bold=True)
    measured = found.measured_speedup and f"{found.measured_speedup:.2f}x"
    lines = {"plan": found.claim.plan}
    if measured:
        lines["speedup"] = f"claimed {found.claimed_speedup:.2f}x, measured {measured}"
    for metric, loss in found.measured_losses.items():
        claimed = found.claimed_losses.get(metric)
        lines[f"{metric} loss"] = (
            f"claimed {claimed:.4f}, " if claimed is not None else ""
        ) + f"measured {loss:.4f}"
    _lines(lines)
    for reason in found.reasons:
        say(f"refuted: {reason}", fg="red")
    for text in found.notes:
        say(_wrapped(f"note: {text}", 6), fg="yellow")


def table(rows: Sequence[dict[str, Any]], without: Collection[str] = ()) -> None:
    """Prints rows with the same keys as a table. Where no terminal limits the width, each row is one line."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    columns = [name for name in rows[0] if name not in without]
    made = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        cells = (row[name] for name in columns)
        made.add_row(
            *(escape(cleaned(", ".join(map(str, c)) if isinstance(c, list | tuple) else str(c))) for c in cells)
        )
    with written():
        Console(width=None if sys.stdout.isatty() else UNBROKEN).print(made)


def checks(found: Sequence[Check]) -> None:
    for check in found:
        say("ok  " if check.fine else "bad ", fg="green" if check.fine else "red", nl=False)
        say(f"{check.name}: {check.detail}")


@contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Shows a spinner on standard error, and yields a function that changes its text. In a pipe it prints lines
    instead, at most one every few seconds."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        note(text)
        yield _NowAndThen()
        return
    from rich.markup import escape

    with console.status(escape(cleaned(text))) as status:
        yield lambda now: status.update(escape(cleaned(now)))


class _NowAndThen:
    """Prints a note, unless the previous one was printed a moment ago."""

    def __init__(self) -> None:
        self._noted = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._noted >= APART_S:
            self._noted = time.monotonic()
            note(text)


def _lines(lines: dict[str, Any]) -> None:
    width = max(map(len, lines))
    for name, value in lines.items():
        say(_wrapped(f"  {name:<{width}}  {value}", width + 4))


def _wrapped(text: str, indent: int) -> str:
    """Wraps the text at whole words on a terminal, with later lines indented. Elsewhere it stays as it is."""
    if not sys.stdout.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "drop_whitespace": True}
    first, rest = text[:indent], text[indent:]
    return textwrap.fill(rest, columns, initial_indent=first, subsequent_indent=" " * indent, **how)


def _pairs(parameters: dict[str, Any]) -> str:
    shown = {name: value if isinstance(value, str) else f"{value:g}" for name, value in parameters.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _times(answer: Answer) -> str:
    plan = f"{answer.latency_s:.3g} s"
    return f"{answer.baseline_latency_s:.3g} s → {plan}" if answer.speedup else plan


def _losses(answer: Answer) -> Iterator[str]:
    from hasten.records import told_loss

    trial = answer.confirmed
    if trial is None or answer.speedup is None:
        return
    for metric, loss in trial.losses.items():
        limits = answer.task.limits
        asked = f", limit {limits[metric]:g}{limits.suffix}" if metric in limits else ""
        yield f"{metric} {told_loss(loss.loss)} ({loss.between('.4f')}){asked}"


def _instead_of(answer: Answer) -> str:
    """Returns the plan of methods that fewer steps replaced, with its figures."""
    other = answer.instead_of
    if other is None:
        return ""
    losses = ", ".join(f"{metric} loss {loss.loss:.4f}" for metric, loss in other.losses.items())
    return f"{other.plan}: {other.speedup:.2f}x, {losses}"


def _equal_time(answer: Answer) -> str:
    other = answer.equal_time
    if other is None or answer.instead_of or not other.trial.losses:
        return ""
    losses = ", ".join(f"{metric} loss {loss.loss:.4f}" for metric, loss in other.trial.losses.items())
    return f"{other.steps} steps without a method: {other.trial.speedup:.2f}x, {losses}"


def _verified(answer: Answer) -> str:
    if answer.verified is None:
        return ""
    outcome = answer.outcome or ("not refuted" if answer.verified else "refuted")
    return f"{outcome} in a fresh process"
