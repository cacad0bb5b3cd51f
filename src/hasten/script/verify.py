"""Measures a script again, in a fresh process, and says whether its claim holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from hasten.errors import InputError
from hasten.measure.environment import NOT_COMPARED
from hasten.measure.fresh_process import ask
from hasten.records import Latency, Record, Trial
from hasten.script.claim import TOLERANCE, Claim, read_claim


class Verification(Record):
    """What a script claims and what was measured of it; ``reasons`` are the parts that do not hold.

    ``notes`` are what a reader should know beside: another machine, restless times.
    """

    script: str
    holds: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    claimed_speedup: float | None = None
    measured_speedup: float | None = None
    claimed_losses: dict[str, float] = Field(default_factory=dict)
    measured_losses: dict[str, float] = Field(default_factory=dict)
    claim: Claim
    trial: Trial


def verify(path: str | Path, *, samples: int = 32, pairs: int = 7, python: str = sys.executable) -> Verification:
    """Runs a script's own functions in a fresh process: timed against the baseline, scored on new images.

    Args:
        samples: images that are scored: of the fresh prompts where the claim's set has them, else of held-out
            prompts with seeds that no verdict uses.
        pairs: timed pairs of baseline and accelerated, up to four times as many where they decide nothing.
        python: the interpreter, one that has hasten.

    Raises:
        InputError: no such file, no script of hasten, or a claim that cannot be read.
        MeasurementError: the script fails.
    """
    if samples < 1 or pairs < 1:
        raise InputError(f"{samples} samples and {pairs} pairs: both must be at least 1.")
    path = Path(path)
    claim = read_claim(path)
    given = {"path": str(path.resolve()), "samples": samples, "pairs": pairs}
    trial = Trial.model_validate(ask("hasten.script._measure", given, str(path), python))
    return judge(str(path), claim, trial)


def judge(script: str, claim: Claim, trial: Trial) -> Verification:
    """Compares a claim with a measurement: the request's target, 95% of the claimed speedup, the loss limits.

    One rule for all of them: refuted is what the whole interval is on the wrong side of. Where only the figure
    itself is, so few runs or prompts cannot tell, and a note says so.
    """
    reasons = tuple(_reasons(claim, trial))
    accelerated = claim.plan != "baseline" and trial.latency is not None
    return Verification(
        script=script,
        holds=not reasons,
        reasons=reasons,
        notes=tuple(_notes(claim, trial)),
        claimed_speedup=claim.speedup,
        measured_speedup=trial.speedup if accelerated else None,
        claimed_losses=claim.losses,
        measured_losses={metric: loss.loss for metric, loss in trial.losses.items()},
        claim=claim,
        trial=trial,
    )


def _reasons(claim: Claim, trial: Trial) -> Iterator[str]:
    if trial.status != "ok" or trial.latency is None:
        yield trial.reason or "it could not be timed"
        return
    now = f"the speedup is {trial.speedup:.3f}x ({trial.latency.between('.3f')})"
    for promised, what in _promised(claim, trial.latency):
        if trial.latency.interval[1] < promised:
            yield f"{now}, below {what}"
    limits = claim.limits
    for metric in limits.refuted(trial.losses):
        found = trial.losses[metric]
        now = f"{found.loss:.4f} ({found.between('.4f')})"
        yield f"the loss on {metric} is {now}, not below the limit {limits[metric]:g}{limits.suffix}"


def _promised(claim: Claim, latency: Latency) -> Iterator[tuple[float, str]]:
    """The speedups that must be reached, and what each is."""
    if claim.speedup is not None:
        yield TOLERANCE * claim.speedup, f"{TOLERANCE:.0%} of the claimed {claim.speedup:.2f}x"
    target = claim.target
    if target is not None and target.speedup is not None:
        yield target.speedup, f"the requested {target.speedup:g}x"
    if target is not None and target.latency_s is not None:
        asked_s = target.latency_s * claim.batch_size
        yield latency.baseline_s / asked_s, f"what the requested {target.latency_s:g} s an image takes"


def _notes(claim: Claim, trial: Trial) -> Iterator[str]:
    for name, value in claim.environment.items():
        now = trial.environment.get(name, value)
        if now != value and name not in NOT_COMPARED:
            yield f"claimed with {name} {value}, measured with {now}"
    if trial.latency is None:
        return
    for promised, what in _promised(claim, trial.latency):
        if trial.speedup < promised <= trial.latency.interval[1]:
            now = f"{trial.speedup:.3f}x now ({trial.latency.between('.3f')})"
            yield f"the speedup was {now}, too restless to refute {what}"
    limits = claim.limits
    for metric in sorted({*limits.broken(trial.losses)} - {*limits.refuted(trial.losses)} & trial.losses.keys()):
        found = trial.losses[metric]
        asked = f"{limits[metric]:g}{limits.suffix}"
        yield f"the loss on {metric} was {found.loss:.4f} now: {found.samples} prompts cannot refute {asked}"
    yield from trial.latency.warnings
