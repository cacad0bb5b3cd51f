"""The command that compares given plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import show
from hasten.cli.app import CLOSER, command
from hasten.cli.bar import Bar
from hasten.cli.choices import Json, takes
from hasten.cli.out import say
from hasten.cli.values import plain_task
from hasten.options.table import REQUEST

if TYPE_CHECKING:
    from hasten.records import Trial
    from hasten.workflow.comparing import Compared, Comparison


@command(rich_help_panel=CLOSER, short_help="Measures given plans side by side.")
@takes("compare", model="SD1.5")
def compare(
    plans: Annotated[
        list[str],
        typer.Argument(help="Plans: 'deepcache(cache_interval=3)' 'deepcache+tome'.", show_default=False),
    ],
    metrics: Annotated[
        str, typer.Option(help="Comma-separated; hasten list metrics.", metavar="NAMES", rich_help_panel=REQUEST)
    ] = "clip_score,ssim",
    json: Json = False,
    *,
    model: str,
    scheduler: str | None,
    steps: int | None,
    **choices: Any,
) -> None:
    """Measures plans side by side: speed, losses, and what fewer steps lose in the same time."""
    from hasten import api

    task = plain_task(model, scheduler, steps)
    names = [name.strip() for name in metrics.split(",")]
    with Bar() as bar:
        found = api.compare(task, plans, metrics=names, progress=bar.update, **choices)
    show.document(found.model_dump(mode="json")) if json else _shown(found)
    raise typer.Exit(any(one.trial.status == "failed" for one in found.plans))


def _shown(found: Comparison) -> None:
    say(f"{show.setting(found.setting)}; {found.confidence:.0%} intervals")
    metrics = dict.fromkeys(metric for one in found.plans for metric in one.trial.losses)
    show.table([_row(one, [*metrics]) for one in found.plans])
    for one in found.plans:
        if one.trial.status == "failed":
            say(f"failed: {one.trial.plan}: {one.trial.reason}", fg="red")
        if one.equal_time and one.equal_time.plan_loses:
            loses = ", ".join(one.equal_time.plan_loses)
            say(f"note: {one.trial.plan} loses to fewer steps in the same time: {loses}", fg="yellow")


def _row(one: Compared, metrics: Sequence[str]) -> dict[str, str]:
    own, other = one.trial, one.equal_time
    interval = own.latency.interval if own.latency else None
    within = f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
    return {
        "plan": str(own.plan),
        "speedup": f"{own.speedup:.2f}x{within}" if own.latency else "",
        **{f"{metric} loss": _loss(own, metric) for metric in metrics},
        "equal time": f"{other.steps} steps, {other.trial.speedup:.2f}x" if other else "",
        **{f"its {metric} loss": _loss(other.trial, metric) if other else "" for metric in metrics},
    }


def _loss(trial: Trial, metric: str) -> str:
    loss = trial.losses.get(metric)
    return f"{loss.loss:.4f} ({loss.interval[0]:.4f} to {loss.interval[1]:.4f})" if loss else ""
