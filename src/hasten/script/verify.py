"""Measures a script again in a fresh process, and says whether its claim is confirmed, open or refuted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, computed_field

from hasten.errors import InputError
from hasten.measure.environment import NOT_COMPARED
from hasten.measure.timing import LONGEST_S
from hasten.metrics import METRICS
from hasten.models import model_at, model_names
from hasten.records import Confirmation, Latency, Record, Trial
from hasten.script._measure import measure
from hasten.script.claim import TOLERANCE, Claim, model_source, read_claim
from hasten.verdict import reaches

FAR, APART = 2.0, 0.05
"""Images count as other images than the claimed ones when their fidelity loss exceeds ``FAR`` times the claim's
upper end by more than ``APART``."""


class Verification(Record):
    """The claims of a script and their measurement.

    ``outcome``: *confirmed* when the intervals lie wholly inside everything that the script promises; *refuted*
    when one lies wholly outside, with the failing parts in ``reasons``; *not refuted* when there were too few runs
    or prompts to tell. ``notes`` tell what a reader should also know: open questions, another machine, restless
    times.
    """

    script: str
    outcome: Confirmation
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    claimed_speedup: float | None = None
    measured_speedup: float | None = None
    claimed_losses: dict[str, float] = Field(default_factory=dict)
    measured_losses: dict[str, float] = Field(default_factory=dict)
    claim: Claim
    trial: Trial

    @computed_field  # type: ignore[prop-decorator]
    @property
    def holds(self) -> bool:
        """Whether the claim is not refuted."""
        return self.outcome != "refuted"


def verify(
    path: str | Path,
    *,
    samples: int = 32,
    pairs: int = 7,
    python: str = sys.executable,
    time_limit_s: float | None = None,
    place: int | None = None,
    longest_s: float = LONGEST_S,
) -> Verification:
    """Runs a script's own functions in a fresh process, timed and scored against the plain pipeline of its model.

    That pipeline runs in a process of hasten's own. Whatever a script prints, writes or says about itself is
    ignored. The script runs with the user's rights on files and network: see the page on measuring.

    Args:
        samples: the number of images that both sides draw and that are scored and timed. They come from the fresh
            prompts where the claim's set has them, otherwise from held-out prompts with seeds that no verdict
            uses.
        pairs: the least number of timed pairs of baseline and script; up to four times as many where they decide
            nothing.
        python: an interpreter that has hasten.
        time_limit_s: a call of the script that takes longer is ended; None: a multiple of what hasten's own call
            takes.
        place: 0 to 2⁴⁰ − 1, the first image (reported as ``trial.offset``); the same place gives the same images
            again. None: at random, so that no script can know it.
        longest_s: the time for pairs beyond the least number.

    Raises:
        InputError: there is no such file, it is no script of hasten, or its claim cannot be read.
        MeasurementError: the script fails, or takes too much time or memory.
    """
    if samples < 1 or pairs < 1:
        raise InputError(f"{samples} samples and {pairs} pairs: both must be at least 1.")
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"The time limit is {time_limit_s} s: allowed is more than 0.")
    path = Path(path)
    claim = read_claim(path)
    trial = measure(path, claim, samples, pairs, python, time_limit_s, place, longest_s)
    found = judge(str(path), claim, trial)
    return found.model_copy(update={"notes": (*_of_the_model(path, claim), *found.notes)})


def judge(script: str, claim: Claim, trial: Trial) -> Verification:
    """Compares a claim with a measurement: the request's target, 95% of the claimed speedup, the loss limits.

    The same rule applies to all of them. A part is confirmed when the whole interval is on the right side of it,
    and refuted when the whole interval is on the wrong side. Otherwise there were too few runs or prompts to tell,
    and a note says so.
    """
    reasons, open_still = tuple(_reasons(claim, trial)), tuple(_open(claim, trial))
    accelerated = claim.plan != "baseline" and trial.latency is not None
    return Verification(
        script=script,
        outcome="refuted" if reasons else "not refuted" if open_still else "confirmed",
        reasons=reasons,
        notes=(*open_still, *_notes(claim, trial)),
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
        if reaches(trial.latency.interval, promised) == "outside":
            yield f"{now}, below {what}"
    limits = claim.limits
    for metric in limits.refuted(trial.losses):
        found = trial.losses[metric]
        now = f"{found.loss:.4f} ({found.between('.4f')})"
        yield f"the loss on {metric} is {now}, not below the limit {limits[metric]:g}{limits.suffix}"
    yield from _other_images(claim, trial)


def _other_images(claim: Claim, trial: Trial) -> Iterator[str]:
    """Yields metrics whose loss shows other images than claimed, which may still keep a CLIP score limit."""
    for metric, loss in trial.losses.items():
        claimed = claim.loss_intervals.get(metric)
        if not METRICS.get(metric).needs_references or claimed is None or metric in claim.limits:
            continue
        if loss.interval[0] > FAR * max(claimed[1], 0.0) + APART:
            now = f"{loss.loss:.4f} ({loss.between('.4f')})"
            yield f"its images are others: the loss on {metric} is {now}, claimed is {claim.losses[metric]:.4f}"


def _promised(claim: Claim, latency: Latency) -> Iterator[tuple[float, str]]:
    """Yields the speedups that must be reached, each with a description."""
    if claim.speedup is not None:
        yield TOLERANCE * claim.speedup, f"{TOLERANCE:.0%} of the claimed {claim.speedup:.2f}x"
    target = claim.target
    if target is not None and target.speedup is not None:
        yield target.speedup, f"the requested {target.speedup:g}x"
    if target is not None and target.latency_s is not None:
        asked_s = target.latency_s * claim.batch_size
        yield latency.baseline_s / asked_s, f"what the requested {target.latency_s:g} s an image takes"


def _open(claim: Claim, trial: Trial) -> Iterator[str]:
    """Yields what this measurement leaves open."""
    if trial.status != "ok" or trial.latency is None:
        return
    for promised, what in _promised(claim, trial.latency):
        if reaches(trial.latency.interval, promised) == "open":
            told = trial.latency.between(".3f") or f"{len(trial.latency.times_s)} pairs of times"
            yield f"the speedup was {trial.speedup:.3f}x now ({told}): this neither confirms nor refutes {what}"
    limits = claim.limits
    for metric in sorted(limits):
        found = trial.losses.get(metric)
        if found is not None and limits.of(metric, found, edge="outside") == "open":
            asked = f"{limits[metric]:g}{limits.suffix}"
            yield (
                f"the loss on {metric} was {found.loss:.4f} now ({found.between('.4f')}): {found.samples} prompts "
                f"neither confirm nor refute that it is below {asked}"
            )


def _notes(claim: Claim, trial: Trial) -> Iterator[str]:
    for name, value in claim.environment.items():
        now = trial.environment.get(name, value)
        if now != value and name not in NOT_COMPARED:
            yield f"claimed with {name} {value}, measured with {now}"
    if trial.latency is not None:
        yield from trial.latency.warnings


def _of_the_model(path: Path, claim: Claim) -> Iterator[str]:
    source = model_source(path, claim)
    found = model_at(source)
    if claim.model in model_names() and source != claim.model and (found is None or found.name != claim.model):
        yield f"its weights are those of {source}, not from where {claim.model} usually comes"
