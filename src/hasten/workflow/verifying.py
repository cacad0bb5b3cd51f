"""Verifies a script in a fresh process, and corrects a claim that was too high."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hasten.errors import MeasurementError
from hasten.records import Answer
from hasten.script.verify import verify
from hasten.search import SearchOptions
from hasten.search.judge import Goal, decide
from hasten.workflow.answers import figures

Write = Callable[[Answer], Path]
"""Writes the script of an answer over the one that exists."""


def verified(answer: Answer, write: Write, options: SearchOptions, batch_size: int = 1) -> Answer:
    """Returns the answer with the result of the fresh process. A claim that does not hold there is not *met*.

    Where the process measures less than the claim, but still what was asked for, the script is rewritten with the
    new figures, and these are measured once more in another process.
    """
    found = _measured(answer, options)
    corrected = None if found.verified else _corrected(found, batch_size)
    if corrected is None:
        return found
    return _measured(corrected.model_copy(update={"script": str(write(corrected))}), options)


def _measured(answer: Answer, options: SearchOptions) -> Answer:
    try:
        found = verify(answer.script or "", samples=options.num_samples, pairs=options.pairs)
    except MeasurementError as error:
        return _refuted(answer, str(error).rstrip("."))
    notes = tuple(f"In the fresh process: {note}" for note in found.notes)
    answer = answer.model_copy(
        update={"fresh": found.trial, "outcome": found.outcome, "warnings": answer.warnings + notes}
    )
    return answer.model_copy(update={"verified": True}) if found.holds else _refuted(answer, *found.reasons)


def _refuted(answer: Answer, *reasons: str) -> Answer:
    reason = f"Measured again in a fresh process: {'; '.join(reasons)}."
    return answer.model_copy(
        update={"verified": False, "outcome": "refuted", "status": "likely", "reason": reason}
    )


def _corrected(answer: Answer, batch_size: int) -> Answer | None:
    """Returns the refuted answer with the figures of the fresh process where these still answer the task, or
    None."""
    task, trial = answer.task, answer.fresh
    if trial is None or trial.latency is None or not answer.plan:
        return None
    decision = decide(trial, Goal(task.limits, task.target, batch_size=batch_size))
    if decision == "rejected":
        return None
    claimed = f"The first claim, {answer.speedup:.2f}x, was too high: this is what a fresh process measured."
    now = figures(task, trial, answer.equal_time)
    return answer.model_copy(
        update={**now, "status": decision, "reason": "", "warnings": (claimed, *now["warnings"])}
    )
