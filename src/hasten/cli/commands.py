"""The group of all commands, which ends each with one sentence and an exit code, whatever went wrong."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from hasten.cli import show
from hasten.cli.helping import GroupedCommands
from hasten.errors import HastenError, InputError, MeasurementError
from hasten.files import is_text
from hasten.measure.stuck import begin_anew, when_stuck
from hasten.measure.termination import leave_if_asked, remember_interrupts

INTERRUPTED = 130
SHORT = ("profile", "verify")
NOTHING_KEPT = "Nothing was written: the same command begins anew."
GOES_ON = "Give the same command again: it goes on without this plan."
TRIALS_KEPT = "All finished trials are kept: the same command goes on from there."


class Commands(GroupedCommands):
    """The group of commands. It turns hasten's errors and Ctrl-C into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        remember_interrupts()
        when_stuck(_stuck, GOES_ON)
        try:
            _refuse_no_text(sys.argv[1:])
            return self._interrupted_first(ctx)
        except HastenError as error:
            show.error(error, as_json="--json" in sys.argv)
            raise typer.Exit(error.exit_code) from None
        except (MemoryError, ImportError) as error:
            show.error(_unloaded(error), as_json="--json" in sys.argv)
            raise typer.Exit(HastenError.exit_code) from None
        except KeyboardInterrupt:
            show.note(f"Interrupted. {NOTHING_KEPT if ctx.invoked_subcommand in SHORT else TRIALS_KEPT}")
            raise typer.Exit(INTERRUPTED) from None

    def _interrupted_first(self, ctx: Any) -> Any:
        """Invokes the command. A failure after Ctrl-C counts as an interruption, its probable cause."""
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except Exception:
            leave_if_asked()
            raise


def _stuck(sentence: str, kept: bool) -> None:
    """Begins the command anew, without the plan that hangs, or ends it where it would hang again."""
    if kept:
        show.note(f"\n{sentence} The command begins anew, and goes on without it.")
        begin_anew()
    show.error(MeasurementError(f"{sentence} Look for its cause in the pipeline."), as_json="--json" in sys.argv)
    sys.stdout.flush()
    os._exit(MeasurementError.exit_code)


def _refuse_no_text(words: list[str]) -> None:
    """Names go into scripts and reports, which are text."""
    for word in words:
        if not is_text(word):
            raise InputError(f"{word!r} is no text in UTF-8: rename the file, or write the word anew.")


def _unloaded(error: MemoryError | ImportError) -> HastenError:
    """Returns the error for a command that runs out of memory or cannot load a library."""
    if isinstance(error, MemoryError):
        return HastenError(f"There is not enough memory: {error or 'an allocation failed'}. {TRIALS_KEPT}")
    return HastenError(
        f"A library cannot be loaded: {error}. Where it is installed, there may be too little memory for it "
        "(ulimit -v); `hasten doctor` checks the installation."
    )
