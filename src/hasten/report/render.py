"""Fills the page of a report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from hasten.answer import Answer
from hasten.language.render import render
from hasten.records import EqualTime, Trial, between, told_loss
from hasten.report.chart import Chart
from hasten.report.fresh import fresh_sentence
from hasten.report.images import ReportImages, gallery
from hasten.report.plots import times_plot, trials_plot
from hasten.task import Setting

COLUMNS = {"reference": "Reference", "accelerated": "Accelerated", "equal_time": "Equal time"}
OPEN_ROWS = 25
"""Tables of trials with more rows than this are folded."""


def render_report(
    answer: Answer,
    trials: Sequence[Trial],
    setting: Setting,
    environment: Mapping[str, str],
    images: ReportImages,
    *,
    command: str,
    request: str | None = None,
) -> str:
    """Returns the page: one HTML file that requests nothing from outside, well below a megabyte.

    Args:
        trials: all trials of the search, in their order; empty for a plain pipeline.
        images: the images of the answer's plan and the reference images; may be empty.
        command: the command that produces the same again.
        request: the user's own sentence; None: the task's sentence.
    """
    shown = answer.shown
    plots = _plots(answer, shown, trials, setting.batch_size)
    columns = [name for name in COLUMNS if getattr(images, name)]
    return _PAGE.get_template("report.html.jinja").render(
        answer=answer,
        shown=shown,
        request=render(answer.task) if request is None else request,
        verdict=verdict(answer),
        fresh=fresh_sentence(shown if answer.verified is None else answer),
        tiles=tiles(shown),
        comparison=comparison(shown, setting.steps),
        metrics=_metrics(trials, shown),
        trials=trials,
        fold=len(trials) > OPEN_ROWS,
        plots=plots,
        columns=[COLUMNS[name] for name in columns],
        rows=gallery(images, columns) if columns else (),
        setting=asdict(setting),
        environment={name: value for name, value in environment.items() if name not in asdict(setting)},
        command=command,
        verify=f"hasten verify {shlex.quote(Path(answer.script).name)}" if answer.script else None,
    )


@dataclass(frozen=True)
class Tile:
    """One figure of the answer, with its name and a note that qualifies it."""

    name: str
    figure: str
    note: str = ""


@dataclass(frozen=True)
class Compared:
    """A row of the comparison: the baseline, the answer or the equal-time baseline."""

    name: str
    steps: int
    latency_s: float | None
    speedup: float | None
    trial: Trial | None
    chosen: bool = False


def verdict(answer: Answer) -> str:
    """Returns the answer as a plain sentence. A second sentence compares it with fewer steps."""
    shown = answer.shown
    says = shown.equal_time.says if shown.equal_time else ""
    return f"{_verdict(answer)} {says}".rstrip()


def _verdict(answer: Answer) -> str:
    if answer.status in ("infeasible", "undecided", "failed"):
        reason = answer.reason or (
            "nothing meets the request" if answer.status == "infeasible" else "no reason given"
        )
        return reason[0].upper() + reason[1:]
    if answer.speedup is None:
        seconds = f": {answer.latency_s:.3g} s a call" if answer.latency_s is not None else ""
        return f"The pipeline runs as it is, with no method{seconds}."
    loss = "" if answer.quality_loss is None else _at(answer.quality_loss)
    sure = {
        "met": ", measured again on prompts that the search never saw.",
        "likely": ", but the loss is uncertain enough to touch the limit.",
    }[answer.status]
    how = " with what you asked for" if answer.dominated else ""
    if answer.instead_of and answer.equal_time:
        how = f" in {answer.equal_time.steps} steps and without a method"
    return f"{answer.speedup:.2f}x as fast{how}{loss}{sure}"


def _at(loss: float) -> str:
    told = told_loss(loss)
    return f" with {told.replace('no', 'no quality', 1)}" if "no" in told else f" at a quality loss of {told}"


def tiles(answer: Answer) -> list[Tile]:
    """Returns the figures at the head of the page, without those that were not measured."""
    found = []
    if answer.speedup is not None:
        interval = between(answer.speedup_interval, ".2f", answer.confidence)
        found.append(Tile("Speedup", f"{answer.speedup:.2f}×", interval))
    if answer.latency_s is not None:
        before = (
            f"baseline {answer.baseline_latency_s:.3g} s" if answer.baseline_latency_s and answer.speedup else ""
        )
        found.append(Tile("Seconds a call", f"{answer.latency_s:.3g}", before))
    losses = answer.confirmed.losses if answer.confirmed and answer.speedup is not None else {}
    for metric, loss in losses.items():
        limits = answer.task.limits
        note = f"limit {limits[metric]:g}{limits.suffix}, " if metric in limits else ""
        found.append(Tile(f"Loss on {metric}", told_loss(loss.loss), note + loss.between(".4f")))
    return found


def comparison(answer: Answer, steps: int) -> list[Compared]:
    """Returns baseline, answer and equal-time baseline for comparison, or [] without an equal-time baseline."""
    equal: EqualTime | None = answer.equal_time
    if equal is None or answer.confirmed is None:
        return []
    own, other = steps, equal.trial
    name, fewer = "Fewer steps, no method", equal.steps
    if answer.instead_of:
        own, other, name, fewer = equal.steps, answer.instead_of, f"Instead of: {answer.instead_of.plan}", steps
    beside = other.latency
    return [
        Compared("Baseline", steps, answer.baseline_latency_s, None, None),
        Compared(f"Answer: {answer.plan}", own, answer.latency_s, answer.speedup, answer.confirmed, chosen=True),
        Compared(name, fewer, beside.plan_s if beside else None, beside.speedup if beside else None, other),
    ]


def _plots(answer: Answer, shown: Answer, trials: Sequence[Trial], batch_size: int) -> dict[str, Chart | None]:
    """Returns the charts by name. A plain pipeline has nothing to compare, so its charts are None."""
    if answer.task.mode == "plain":
        return {"scatter": None, "times": None}
    metric = next(iter(answer.task.max_loss), "clip_score")
    limit = answer.task.max_loss.get(metric)
    times = shown.confirmed.latency if shown.confirmed else None
    target = _target(answer, shown, batch_size)
    return {
        "scatter": trials_plot(trials, metric, limit, shown.confirmed, shown.equal_time, target),
        "times": times_plot(times) if times else None,
    }


def _target(answer: Answer, shown: Answer, batch_size: int) -> float | None:
    """Returns the requested speedup. A requested latency is converted into a speedup."""
    target, baseline_s = answer.task.target, shown.baseline_latency_s
    if target is None or target.speedup is not None:
        return target.speedup if target else None
    return baseline_s / batch_size / target.latency_s if baseline_s and target.latency_s else None


def _metrics(trials: Sequence[Trial], shown: Answer) -> list[str]:
    """Returns the names of all metrics by which any trial was scored, in the order of their appearance."""
    decisive = [shown.confirmed] if shown.confirmed else []
    return list(dict.fromkeys(metric for trial in [*trials, *decisive] for metric in trial.losses))


_PAGE = Environment(
    loader=PackageLoader("hasten.report", "."),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
