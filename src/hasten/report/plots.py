"""The charts of the page: all trials by loss and speedup, and the raw times behind the answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hasten.records import EqualTime, Latency, Trial
from hasten.report.chart import Axis, Chart, Guide, Look, Mark, Series

FARTHEST = 5.0
"""Losses of more than this many limits are drawn at the edge of the chart. Otherwise one bad plan would press all
others into a corner, although the plans near the limit matter most."""

INSIDE = Look("within the limit", "inside", "circle")
OUTSIDE = Look("over the limit", "outside", "square", open=True)
SKIPPED = Look("skipped: not worth scoring", "skipped", "circle", open=True)
FAILED = Look("failed", "failed", "cross", open=True)
EQUAL = Look("equal-time baseline", "equal", "diamond", size=5.5)
CHOSEN = Look("the answer, on held-out prompts", "chosen", "star", size=6)
BASELINE_TIMES = Look("baseline", "outside", "square", size=3.5)
PLAN_TIMES = Look("accelerated", "inside", "circle", size=4)


def trials_plot(
    trials: Sequence[Trial],
    metric: str,
    limit: float | None,
    chosen: Trial | None = None,
    equal: EqualTime | None = None,
    target: float | None = None,
) -> Chart | None:
    """Returns a chart of speedup over loss with one mark for each trial. Trials without scores stand in a lane of
    their own.

    The axes always include the baseline (a speedup of 1, no loss), the limit and the target.

    Args:
        chosen: the trial that decided the answer, on held-out prompts.
        equal: the baseline with fewer steps.
        target: the requested speedup.

    Returns:
        None when no trial has a latency.
    """
    timed = [t for t in trials if t.latency is not None]
    if not timed:
        return None
    special = [(EQUAL, equal.trial if equal else None), (CHOSEN, chosen)]
    series = tuple(_series(timed, special, metric, limit))
    marks = [mark for one in series for mark in one.marks]
    return Chart(
        title="Speedup over quality loss, a mark a trial",
        x=_loss_axis(metric, [mark.x for mark in marks if mark.x is not None], limit),
        y=Axis.over("speedup", [1.0, target or 1.0, *(mark.y for mark in marks)], suffix="x"),
        series=series,
        guides=tuple(_guides(limit, target)),
        lane="not scored" if any(mark.x is None for mark in marks) else "",
    )


def _series(
    timed: Sequence[Trial], special: Sequence[tuple[Look, Trial | None]], metric: str, limit: float | None
) -> Iterable[Series]:
    """Yields the trials by kind, and the special trials last, so that they are drawn on top."""
    for look in (INSIDE, OUTSIDE, SKIPPED, FAILED):
        if some := [t for t in timed if _look(t, metric, limit) is look]:
            yield Series(look, tuple(_mark(t, metric) for t in some))
    for look, trial in special:
        if trial is not None and trial.latency is not None and metric in trial.losses:
            yield Series(look, (_mark(trial, metric),))


def _loss_axis(metric: str, losses: Sequence[float], limit: float | None) -> Axis:
    reach = FARTHEST * limit if limit else math.inf
    note = ", larger ones at the edge" if any(abs(loss) > reach for loss in losses) else ""
    shown = (min(reach, max(-reach, loss)) for loss in losses)
    return Axis.over(f"quality loss ({metric}){note}", [0.0, limit or 0.0, *shown])


def times_plot(latency: Latency) -> Chart:
    """Returns a chart of all timed runs of baseline and plan, in the order in which they were made."""
    rows = ((BASELINE_TIMES, latency.baseline_times_s), (PLAN_TIMES, latency.times_s))
    return Chart(
        title="Seconds of every timed call",
        x=Axis.counting("timed pair", max(len(times) for _, times in rows)),
        y=Axis.over("seconds a call", [s for _, times in rows for s in times], from_zero=True),
        series=tuple(
            Series(
                look,
                tuple(Mark(n, s, f"{look.name}, pair {n}: {s:.4f} s") for n, s in enumerate(times, 1)),
                joined=True,
            )
            for look, times in rows
        ),
        height=280,
    )


def _times(look: Look, times: Sequence[float]) -> Series:
    marks = (Mark(n, s, f"{look.name}, pair {n}: {s:.4f} s") for n, s in enumerate(times, 1))
    return Series(look, tuple(marks), joined=True)


def _guides(limit: float | None, target: float | None) -> Iterable[Guide]:
    yield Guide("y", 1.0, "baseline, 1x", "still", below=True)
    if target is not None:
        yield Guide("y", target, f"asked for: {target:.3g}x", "asked")
    if limit is not None:
        yield Guide("x", limit, f"limit {limit:g}", "limit")


def _look(trial: Trial, metric: str, limit: float | None) -> Look:
    if trial.status == "failed":
        return FAILED
    if trial.status == "skipped" or metric not in trial.losses:
        return SKIPPED
    return INSIDE if limit is None or trial.losses[metric].loss < limit else OUTSIDE


def _mark(trial: Trial, metric: str) -> Mark:
    loss = trial.losses[metric].loss if metric in trial.losses else None
    return Mark(loss, trial.speedup, _told(trial))


def _told(trial: Trial) -> str:
    plan = str(trial.plan).replace("+", "\n+ ").replace(",", ", ")
    losses = (f"{name} loss {loss.loss:.4f}" for name, loss in trial.losses.items())
    reason = [trial.reason[:160]] if trial.reason else []
    return "\n".join([plan, f"{trial.speedup:.2f}x at {trial.steps} steps", *losses, *reason])
