"""Packs the part files of a recording into tables."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import InputError

from .parts import Line, check_alike, read
from .plans import Row
from .tables import Numbers, Table, path_of

PLANS = "plans.json"
"""In a setting's folder of parts: the rows that each table is to have."""
DRIFT = 0.001
"""The baseline's mean score may differ by so much of it from process to process."""
STOOD_STILL = 10
"""A pair with a call that took so many times the table's median baseline is left out: the machine stood still."""
PLACES = ("--work", "--out")
"""Options that say where the files of a recording lay, which is no part of how it was made."""


def pack(work: Path, out: Path, tables: Sequence[str]) -> list[Path]:
    """Writes every table of the work folder that has a plan, and says how many of how many it has.

    Raises:
        InputError: there is none, or its parts cannot be mixed.
    """
    written: list[Path] = []
    for folder in sorted(path.parent for path in work.glob(f"*/{PLANS}")):
        planned = json.loads((folder / PLANS).read_text(encoding="utf-8"))
        for name in (name for name in tables if name in planned):
            table = table_of(folder, name, [Row(*row) for row in planned[name]])
            if table is None:
                continue
            path = path_of(out, folder.name, name)
            table.save(path)
            written.append(path)
            print(_summary(folder.name, table, path))
    if not written:
        raise InputError(f"{work} has no finished plan of {', '.join(tables)}: record them first.")
    return written


def table_of(folder: Path, name: str, planned: Sequence[Row]) -> Table | None:
    """The table of the rows that are finished; None where none is."""
    headers, scored = read(folder, "quality")
    timings, timed = read(folder, "latency")
    check_alike(folder, "quality", headers)
    check_alike(folder, "latency", timings)
    rows = [row for row in planned if row in scored]
    if not rows:
        return None
    baseline = _baseline(folder, headers)
    failures = {str(i): scored[row]["failed"] for i, row in enumerate(rows) if "failed" in scored[row]}
    times = _times([timed.get(row, {}) for row in rows])
    header = {
        "table": name,
        "planned": len(planned),
        "recorded": len(rows),
        "timed": int(np.isfinite(times).any(axis=(1, 2)).sum()),
        "failures": failures,
        **_made_by(headers[0]),
        "setting": {**headers[0]["setting"], "batch_size": 1},
        "samples": headers[0]["samples"],
        "versions": headers[0]["versions"],
        "environments": _different([header["environment"] for header in headers]),
        "commands": _commands(headers),
        "latency": _of_latency(timings),
    }
    scores = {metric: _scores([scored[row] for row in rows], metric, len(baseline[metric])) for metric in baseline}
    return Table(header, tuple(rows), baseline, scores, times)


def _made_by(header: Line) -> Line:
    return {name: header[name] for name in ("identity", "prompts", "seed")}


def _of_latency(headers: Sequence[Line]) -> Line | None:
    if not headers:
        return None
    kept = {name: headers[0][name] for name in ("setting", "environment", "profile")}
    return {**kept, "commands": _commands(headers)}


def _baseline(folder: Path, headers: Sequence[Line]) -> dict[str, Numbers]:
    """The baseline's scores. Raises InputError where those of two processes are apart."""
    found = {metric: np.array(scores, dtype=np.float64) for metric, scores in headers[0]["baseline"].items()}
    for header in headers[1:]:
        for metric, scores in found.items():
            apart = abs(np.mean(header["baseline"][metric]) / scores.mean() - 1)
            if apart > DRIFT:
                raise InputError(
                    f"{folder}: the baseline's mean {metric} differs by {apart:.2%} between two parts: they were "
                    "not drawn alike. Record them anew in another --work."
                )
    return found


def _scores(lines: Sequence[Line], metric: str, prompts: int) -> Numbers:
    missing = [np.nan] * prompts
    return np.array([line["scores"][metric] if "scores" in line else missing for line in lines])


def _times(lines: Sequence[Mapping[str, Any]]) -> Numbers:
    """(plans, 2, pairs): NaN where there is none."""
    found = [line.get("latency") for line in lines]
    times = np.full((len(lines), 2, max((len(x["times_s"]) for x in found if x), default=0)), np.nan)
    for row, latency in enumerate(found):
        if latency:
            for side, name in enumerate(("baseline_times_s", "times_s")):
                times[row, side, : len(latency[name])] = latency[name]
    return _without_standstills(times)


def _without_standstills(times: Numbers) -> Numbers:
    if not np.isfinite(times).any():
        return times
    still = (times > STOOD_STILL * np.nanmedian(times[:, 0])).any(axis=1, keepdims=True)
    return np.where(still, np.nan, times)


def _commands(headers: Sequence[Line]) -> list[str]:
    """The commands of the parts, without the places of their files."""
    return _different([shlex.join(_placeless(shlex.split(header["command"]))) for header in headers])


def _placeless(words: Sequence[str]) -> list[str]:
    before = ("", *words)
    return [word for last, word in zip(before, words, strict=False) if not {last, word} & {*PLACES}]


def _different(values: Sequence[Any]) -> list[Any]:
    return [value for i, value in enumerate(values) if value not in values[:i]]


def _summary(setting: str, table: Table, path: Path) -> str:
    header = table.header
    counts = f"{header['recorded']} of {header['planned']} plans, {header['timed']} timed"
    failed = f", {len(header['failures'])} failed" if header["failures"] else ""
    return f"{setting} {table.name}: {counts}{failed}, {path.stat().st_size / 1000:.0f} kB"
