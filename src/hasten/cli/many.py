"""Runs a batch for a command: shows its progress and its answers, and exits with the code that they earn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from hasten.cli import show
from hasten.cli.bar import span
from hasten.cli.live import Live
from hasten.errors import InputError

if TYPE_CHECKING:
    from hasten.script.claim import Runtime
    from hasten.store.seeds.tasks_file import Request
    from hasten.workflow.batch import BatchAnswer, EqualTimeSummary
    from hasten.workflow.generate import Generation
    from hasten.workflow.matrix import Matrix

FOLDER = Path("hasten-out/batch")


def explore(matrix: Matrix, out: Path, devices: str | None, margin: float, json: bool, **choices: Any) -> NoReturn:
    """Measures the bounds of a matrix and exits."""
    from hasten import api

    used = _devices(devices, choices)
    with Live() as live:
        found = api.explore(matrix, out=out, devices=used, margin=margin, tell=live.update, **choices)
    _finish({"bounds": found}, out, json)


def generate(
    requests: Sequence[Request], how: Generation, out: Path, devices: str | None, json: bool, **choices: Any
) -> NoReturn:
    """Writes the scripts of a list of requests and exits."""
    from hasten import api

    used = _devices(devices, choices)
    with Live() as live:
        found = api.generate(requests, out=out, devices=used, tell=live.update, how=how, **choices)
    _finish({"tasks": found}, out, json)


def all_stages(
    matrix: Matrix, how: Generation, out: Path, devices: str | None, json: bool, **choices: Any
) -> NoReturn:
    """Measures the bounds of a matrix, makes tasks from them, writes the tasks' scripts, and exits."""
    from hasten import api

    used = _devices(devices, choices)
    with Live() as live:
        bounds, tasks = api.run_matrix(matrix, out=out, devices=used, tell=live.update, how=how, **choices)
    _finish({"bounds": bounds, "tasks": tasks}, out, json)


def generation(
    runtime: Runtime,
    verify: bool,
    allow_known_wrong: bool,
    *,
    bounds: Path | None = None,
    params: Path | None = None,
    as_is: bool = False,
) -> Generation:
    """Returns the settings for making scripts, from the flags. Raises InputError."""
    from hasten.store.seeds.bounds import Bounds
    from hasten.store.seeds.search_params import SearchParams
    from hasten.workflow.generate import Generation

    if as_is and params is None:
        raise InputError("--as-is takes the figures of a file: name it with --params search_params.json.")
    known = Bounds.read(bounds) if bounds else None
    plans = SearchParams.read(params) if params else None
    for fault in (*(known.faults if known else ()), *(plans.faults if plans else ())):
        show.note(f"not used: {fault}")
    return Generation(
        runtime=runtime,
        allow_known_wrong=allow_known_wrong,
        verify=verify and not as_is,
        as_is=as_is,
        bounds=known,
        params=plans,
    )


def _devices(devices: str | None, choices: dict[str, Any]) -> list[str]:
    """Returns the devices: ``0,1`` means cuda:0 and cuda:1, ``all`` every GPU; None leaves it to --device."""
    from hasten.workflow.jobs import AUTO

    if devices is None:
        return [AUTO]
    if choices.get("device"):
        raise InputError(f"Give --device {choices['device']} or --devices {devices}, not both.")
    if devices.strip() == "all":
        import torch

        found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if not found:
            raise InputError("--devices is all, but there is no GPU here. Leave it out to run on the CPU.")
        return found
    named = [part.strip() for part in devices.split(",")]
    if not all(named):
        raise InputError(f"--devices is {devices!r}: write GPUs with commas between, such as 0,1, or all.")
    return [f"cuda:{part}" if part.isdigit() else part for part in named]


def _finish(stages: dict[str, list[BatchAnswer]], out: Path, json: bool) -> NoReturn:
    from hasten.workflow.batch import exit_code

    if json:
        shown = {name: [one.model_dump(mode="json") for one in found] for name, found in stages.items()}
        show.document({"out": str(out), **shown})
    for name, found in stages.items():
        if not json and found:
            show.table([_row(one) for one in found])
            _warnings(found)
        show.note(_summary(name, found))
    show.note(f"All of it is in {out}.")
    raise typer.Exit(exit_code([one for found in stages.values() for one in found]))


def _summary(name: str, found: Sequence[BatchAnswer]) -> str:
    counts = [f"{n} {status}" for status in show.COLOURS if (n := sum(one.status == status for one in found))]
    took = span(sum(one.seconds for one in found))
    return f"{name}: {len(found)} ({', '.join(counts)}); {took} of work." if found else f"{name}: none."


def _warnings(found: Sequence[BatchAnswer]) -> None:
    """Notes on standard error what a person should know about each script before using it."""
    for one in found:
        says = [one.equal_time.says] if one.equal_time and one.equal_time.plan_loses else []
        for warning in (*says, *one.warnings):
            show.note(f"{one.name or one.place}: {warning}")


def _equal_time(fewer: EqualTimeSummary | None) -> str:
    if fewer is None:
        return ""
    better = f", better on {', '.join(fewer.plan_loses)}" if fewer.plan_loses else ""
    return f"{fewer.steps} steps {fewer.speedup:.2f}x{better}"


def _row(one: BatchAnswer) -> dict[str, Any]:
    return {
        "task": one.name or one.place,
        "answer": one.status,
        "asked": one.target or "",
        "speedup": f"{one.speedup:.2f}x" if one.speedup else "",
        "loss": f"{one.quality_loss:.4f}" if one.quality_loss is not None else "",
        "fresh process": one.outcome or "",
        "equal time": _equal_time(one.equal_time),
        "time": span(one.seconds),
        "plan or reason": one.plan if one.held else one.reason,
    }
