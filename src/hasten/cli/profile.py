"""The command that shows where a call's time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import show
from hasten.cli.app import CLOSER, command
from hasten.cli.choices import Json, flags_of, takes
from hasten.cli.out import say
from hasten.cli.values import plain_task
from hasten.errors import InputError
from hasten.options.table import REQUEST, SEARCH, SETTING

if TYPE_CHECKING:
    from hasten.measure.profile import BatchRow, Calls, Profile

MIB = 2**20


@command(rich_help_panel=CLOSER, short_help="Shows where a call's time goes.")
@takes("profile", but=("plan", "batch_size"), model="SD1.5")
def profile(
    plan: Annotated[
        str,
        typer.Option(
            *flags_of("plan"),
            help="Measured beside the baseline: deepcache(cache_interval=3)+tome(ratio=0.5).",
            metavar="PLAN",
            rich_help_panel=REQUEST,
        ),
    ] = "",
    batch_sizes: Annotated[
        str,
        typer.Option(
            "--batch-sizes",
            *flags_of("batch_size"),
            help="Images of a call, comma-separated.",
            metavar="NUMBERS",
            rich_help_panel=SETTING,
        ),
    ] = "1,2,4,8",
    fresh: Annotated[
        int,
        typer.Option(
            help="First calls of each, each in a fresh process; 0: none.", metavar="N", rich_help_panel=SEARCH
        ),
    ] = 1,
    json: Json = False,
    *,
    model: str,
    scheduler: str | None,
    steps: int | None,
    **choices: Any,
) -> None:
    """Shows where a call's time goes, cold and warm, and what larger batches give; of a plan, too."""
    from hasten import api

    task = plain_task(model, scheduler, steps)
    given: dict[str, Any] = {"plan": plan, "batch_sizes": _integers(batch_sizes), "fresh": fresh}
    with show.waiting("loading") as tell:
        found = api.profile(task, progress=tell, **given, **choices)
    show.document(found.model_dump(mode="json")) if json else _shown(found)
    raise typer.Exit(1 if found.batch_sizes[0].reason else 0)


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--batch-sizes is {text!r}: whole numbers with commas between, such as 1,2,4,8."
        ) from None


def _shown(found: Profile) -> None:
    setting, sides = found.setting, ["baseline"] + ["plan"] * (found.plan != "baseline")
    say(show.setting(setting))
    if len(sides) == 2:
        say(f"plan: {found.plan}")
    for title, rows in (
        ("first call of a fresh process, in seconds", _first(found)),
        (f"where a warm call's time goes, batch size {setting.batch_size}", _parts(found.batch_sizes[0], sides)),
        ("batch sizes", [_batch(row, sides, found.confidence) for row in found.batch_sizes]),
    ):
        if rows:
            say(f"\n{title}", bold=True)
            show.table(rows)
    for row in found.batch_sizes:
        for warning in row.warnings:
            say(f"note: batch size {row.batch_size}: {warning}", fg="yellow")


def _first(found: Profile) -> list[dict[str, str]]:
    return [
        {
            "plan": one.plan,
            "import": f"{one.import_s:.3g}",
            "load": f"{one.load_s:.3g}",
            "first call": f"{one.call_s:.3g}",
            **{f"of it {_words(name)}": f"{seconds:.3g}" for name, seconds in one.parts_s.items()},
        }
        for one in found.first_calls
    ]


def _parts(row: BatchRow, sides: Sequence[str]) -> list[dict[str, str]]:
    calls: dict[str, Calls] = {side: getattr(row, side) for side in sides}
    if row.reason:
        return []
    names = [*calls["baseline"].parts]
    found = [{"part": _words(name), **{side: _share(calls[side], name) for side in sides}} for name in names]
    return [*found, {"part": "all", **{side: f"{calls[side].latency_s:.3g} s" for side in sides}}]


def _share(calls: Calls, name: str) -> str:
    part = calls.parts[name]
    return f"{part.seconds:.3g} s  {part.share:.1%}"


def _batch(row: BatchRow, sides: Sequence[str], confidence: float) -> dict[str, str]:
    cells = {"images": str(row.batch_size)}
    for side in sides:
        calls: Calls | None = getattr(row, side)
        cells[f"{side} s a call"] = f"{calls.latency_s:.3g}" if calls else ""
        cells["images/s" if side == "baseline" else "plan images/s"] = f"{calls.images_per_s:.3g}" if calls else ""
    if "plan" in sides:
        cells["speedup"] = f"{row.speedup:.2f}x" if row.speedup else ""
        interval = row.speedup_interval
        cells[f"{confidence:.0%} interval"] = f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else ""
    return {**cells, **_memory(row, sides), "note": row.reason}


def _memory(row: BatchRow, sides: Sequence[str]) -> dict[str, str]:
    """Returns the peak of CUDA memory of each side, or the peak of the process where that is known."""
    if row.peak_resident_bytes is not None:
        return {"process' peak resident MiB": f"{row.peak_resident_bytes / MIB:.0f}"}
    calls = {side: getattr(row, side) for side in sides}
    return {
        f"{side} peak MiB": f"{c.peak_memory_bytes / MIB:.0f}" if c and c.peak_memory_bytes is not None else ""
        for side, c in calls.items()
    }


def _words(name: str) -> str:
    return name.replace("_", " ")
