"""Verifies a script in a fresh process, and corrects a claim that was too high."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hasten.answer import Answer
from hasten.errors import MeasurementError
from hasten.measure.timing import LONGEST_S
from hasten.options.table import MIN_SAMPLES
from hasten.script.verify import verify
from hasten.search import SearchOptions
from hasten.search.budget import FRESH_PROCESS_S
from hasten.search.judge import Goal, decide
from hasten.workflow.answers import decided_by

WARM_UP = 3
"""The pairs of calls that a verification makes before the timed ones."""
Write = Callable[[Answer], Path]
"""Writes the script of an answer over the one that exists."""


def verified(answer: Answer, write: Write, options: SearchOptions, batch_size: int = 1) -> Answer:
    """Returns the answer with the result of the fresh process. A claim that does not hold there is not *met*.

    Where the process measures less than the claim, but still what was asked for, the script is rewritten with the
    new figures, and these are measured once more in another process.
    """
    until = _Until(options)
    found = _measured(answer, until)
    corrected = None if found.verified else _corrected(found, batch_size)
    if corrected is None:
        return found
    return _measured(corrected.model_copy(update={"script": str(write(corrected))}), until)


class _Until:
    """The time that is left for verifications, from the making of this on."""

    def __init__(self, options: SearchOptions) -> None:
        self.options, self._began = options, time.monotonic() - options.spent_s

    def samples(self, answer: Answer) -> int:
        """Returns how many of the images there is time for, at least as many as an interval needs."""
        left_s, call_s = self._left_s(), _pair_s(answer)
        if left_s is None or not call_s:
            return self.options.num_samples
        return max(MIN_SAMPLES, min(self.options.num_samples, int(left_s / call_s) - WARM_UP))

    def longest_s(self, answer: Answer) -> float:
        """Returns the time for pairs beyond these."""
        left_s = self._left_s()
        needed_s = (self.samples(answer) + WARM_UP) * _pair_s(answer)
        return LONGEST_S if left_s is None else min(LONGEST_S, max(0.0, left_s - needed_s))

    def _left_s(self) -> float | None:
        limit_s = self.options.max_time_s
        return None if limit_s is None else limit_s - (time.monotonic() - self._began) - FRESH_PROCESS_S


def _pair_s(answer: Answer) -> float:
    return (answer.baseline_latency_s or 0.0) + (answer.latency_s or 0.0)


def _measured(answer: Answer, until: _Until) -> Answer:
    samples, whole = until.samples(answer), until.options.num_samples
    how: dict[str, Any] = {"samples": samples, "pairs": until.options.pairs}
    try:
        found = verify(answer.script or "", **how, longest_s=until.longest_s(answer))
    except MeasurementError as error:
        return _refuted(answer, str(error).rstrip("."))
    short = [f"{samples} of {whole} images were drawn, for want of time"] * (samples < whole)
    notes = tuple(f"In the fresh process: {note}" for note in (*short, *found.notes))
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
    now = decided_by(task, trial, answer.equal_time)
    return answer.model_copy(
        update={**now, "status": decision, "reason": "", "warnings": (claimed, *now["warnings"])}
    )
