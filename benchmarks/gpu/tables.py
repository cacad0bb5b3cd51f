"""The tables that the benchmark prints, from the lines of its file alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hasten.measure.stepwise import seconds_of
from hasten.plan import Plan

from ..cost_model import COLUMNS as COST
from ..lines import lines_of
from ..steps import ratio, slowdown_of

NOTHING = "none"
"""The name of the baseline beside its own twin: how far two sides differ that are the same."""

CEILINGS = "ceilings"
"""In a setting's place: what the machine can do at most."""
DEVICE = ("gpu", "driver", "cuda", "cpu", "torch", "diffusers", "transformers", "python", "hasten")
GIB = 2**30

BASELINE = ("setting", "latency s", "images/s", "denoiser", "text", "decoding", "rest", "peak GiB")
WORK = ("setting", "TFLOP a call", "ms a call", "TFLOP/s", "of the product's", "ms at the limit")
PLANS = ("setting", "plan", "speedup", "95%", "peak GiB")
NEUTRAL = ("setting", "at neutral parameters", "overhead", "95%")
UPSTREAM = ("setting", "plan", "hasten s", "packages s", "packages / hasten", "95%")
COMPILED = ("setting", "compiled", "first call s", "again s", "speedup", "95%", "graphs", "recompiled")


@dataclass(frozen=True)
class Found:
    """The measurements of one setting, by name, and what the machine can do at most in its environment."""

    setting: dict[str, Any]
    lines: dict[str, dict[str, Any]]
    ceilings: dict[str, float]

    @property
    def name(self) -> str:
        s = self.setting
        return f"{s['model']} {s['width']}², {s['steps']} steps, batch {s['batch_size']}, {s['dtype']}"

    def of(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What was measured under names of that kind, without it."""
        for name, line in self.lines.items():
            if name.startswith(f"{kind} "):
                yield name.removeprefix(f"{kind} "), line


def report(path: Path) -> str:
    """All tables of a file, those without a row left out. Failures are named below them."""
    environments, settings = _grouped(path)
    parts = [_device(line) for line in environments]
    for title, columns, rows in (
        ("Baseline", BASELINE, _baseline),
        ("The denoiser beside the machine's limit", WORK, _work),
        ("Methods", PLANS, _plans),
        ("Overhead", NEUTRAL, _neutral),
        ("hasten beside the packages", UPSTREAM, _upstream),
        ("Cost model", ("setting", *COST), _cost),
        ("torch.compile", COMPILED, _compiled),
    ):
        parts += _table(title, columns, rows, settings)
    return "\n\n".join([*parts, *_failures(settings)])


def _failures(settings: Sequence[Found]) -> Iterator[str]:
    failed = ((s.name, name, line) for s in settings for name, line in s.lines.items() if "failed" in line)
    if told := [f"- {setting}: {name}: {line['failed']}" for setting, name, line in failed]:
        yield "Failed:\n" + "\n".join(told)


def _grouped(path: Path) -> tuple[list[dict[str, Any]], list[Found]]:
    """The lines that describe the environments, and the settings in the order they were begun."""
    keys: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for line in lines_of(path):
        setting, _, environment = line["key"].rpartition(" ")
        keys.setdefault((setting, environment), {})[line["name"]] = line
    machines = {e: found for (s, e), found in keys.items() if json.loads(s)["model"] == CEILINGS}
    settings = [
        Found(json.loads(s), found, machines.get(e, {}).get(CEILINGS, {}))
        for (s, e), found in keys.items()
        if json.loads(s)["model"] != CEILINGS
    ]
    return [{**found["environment"], **found.get(CEILINGS, {})} for found in machines.values()], settings


def _device(line: dict[str, Any]) -> str:
    """Where, with which versions, by which command, and the limits there."""
    known = line["environment"]
    where = ", ".join(f"{name} {known[name]}" for name in DEVICE if name in known)
    limits = ""
    if "flops_per_s" in line:
        limits = (
            f"\n{known['dtype']}: matrix product {line['flops_per_s'] / 1e12:.4g} TFLOP/s, "
            f"copy {line['bytes_per_s'] / 1e9:.4g} GB/s"
        )
    return f"{where}{limits}\n`{line['command']}`"


def _table(
    title: str, columns: Sequence[str], rows: Callable[[Found], Iterator[Sequence[str]]], settings: Sequence[Found]
) -> Iterator[str]:
    found = [(setting.name, *cells) for setting in settings for cells in rows(setting)]
    if found:
        lines = (columns, ("---",) * len(columns), *found)
        yield f"**{title}**\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _measured_baseline(found: Found) -> dict[str, Any] | None:
    row = found.lines.get("baseline", {}).get("row", {})
    baseline: dict[str, Any] | None = row.get("baseline")
    return baseline


def _baseline(found: Found) -> Iterator[Sequence[str]]:
    row = found.lines.get("baseline", {}).get("row", {})
    if calls := row.get("baseline"):
        parts = ("denoiser", "text_encoding", "decoding", "rest")
        shares = (f"{calls['parts'][part]['share']:.1%}" for part in parts)
        yield f"{calls['latency_s']:.4g}", f"{calls['images_per_s']:.3g}", *shares, _gib(calls)
    elif row:
        yield row["reason"], *[""] * 6


def _work(found: Found) -> Iterator[Sequence[str]]:
    """The limit: the products at the ceiling of one large product, or reading the weights at that of a copy."""
    calls, work, ceilings = _measured_baseline(found), found.lines.get("denoiser", {}), found.ceilings
    if calls is None or "flops" not in work or not ceilings:
        return
    seconds = calls["parts"]["denoiser"]["seconds"] / work["calls"]
    limit_s = max(work["flops"] / ceilings["flops_per_s"], work["weights_bytes"] / ceilings["bytes_per_s"])
    achieved = work["flops"] / seconds
    yield (
        f"{work['flops'] / 1e12:.3g}",
        f"{seconds * 1e3:.4g}",
        f"{achieved / 1e12:.4g}",
        f"{achieved / ceilings['flops_per_s']:.1%}",
        f"{limit_s * 1e3:.3g}",
    )


def _plans(found: Found) -> Iterator[Sequence[str]]:
    for plan, line in found.of("plan"):
        if "first" in line:
            speedup, interval = ratio(line["first"], line["second"])
            yield _short(plan), f"{speedup:.3f}x", _between(interval, ".3f"), _gib(line)


def _neutral(found: Found) -> Iterator[Sequence[str]]:
    for name, line in found.of("neutral"):
        if "first" in line:
            slowdown, interval = slowdown_of(line["first"], line["second"])
            yield name, f"{slowdown - 1:+.2%}", _between([end - 1 for end in interval], "+.2%")


def _upstream(found: Found) -> Iterator[Sequence[str]]:
    for plan, line in found.of("upstream"):
        if "first" in line:
            advantage, interval = ratio(line["second"], line["first"])
            seconds = (f"{seconds_of(line[side]):.4g}" for side in ("first", "second"))
            yield _short(plan), *seconds, f"{advantage:.3f}", _between(interval, ".3f")


def _cost(found: Found) -> Iterator[Sequence[str]]:
    yield from found.lines.get("cost", {}).get("rows", ())


def _compiled(found: Found) -> Iterator[Sequence[str]]:
    for what, line in found.of("compile"):
        if "first" in line:
            speedup, interval = ratio(line["first"], line["second"])
            yield (
                f"`{what}`",
                f"{line['cold_s']:.3g}",
                f"{line['warm_s']:.3g}",
                f"{speedup:.3f}x",
                _between(interval, ".3f"),
                str(line["graphs"]),
                str(line["recompiled"]),
            )


def _short(plan: str) -> str:
    """Several methods by their names: their parameters are those of each alone, which has a row of its own."""
    if plan == NOTHING:
        return plan
    methods = Plan.parse(plan).methods
    return " + ".join(methods) if len(methods) > 1 else f"`{plan}`"


def _between(interval: Sequence[float], spec: str) -> str:
    return " … ".join(f"{end:{spec}}" for end in interval)


def _gib(line: dict[str, Any]) -> str:
    peak = line["peak_memory_bytes"]
    return "" if peak is None else f"{peak / GIB:.2f}"
