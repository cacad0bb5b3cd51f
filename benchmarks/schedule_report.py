"""The tables of benchmarks/schedule.py: by prediction, and measured live."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch

from hasten.errors import InputError
from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.plan import Plan, steps_of
from hasten.records import EqualTime, Trial

from .tables.plans import setting_of

LIMITS = (0.005, 0.01, 0.02, 0.05)
SPEEDUPS = (1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5)
SPLITS = ("search", "held-out")
METRICS = ("clip_score", "ssim")
UNCONFIRMED = ("fewer-steps",)
"""No plans; beside every other kind they stand anyway, at equal time."""
CONFIRMED, TRIES = "confirmed.jsonl", 5


class Point(NamedTuple):
    """A plan, its predicted speedup, and its losses by metric and split."""

    plan: str
    speedup: float
    losses: dict[tuple[str, str], float]


def show(points: dict[str, list[Point]]) -> None:
    """The fastest plans within the limits, and the nearest to the baseline's images at each speedup."""
    print("\nfastest within the limit on the search's prompts (CLIP score), and there on held-out ones")
    print("| limit | kind | speedup | loss | held out | SSIM loss | plan |\n" + "| --- " * 7 + "|")
    for limit, (kind, found) in product(LIMITS, points.items()):
        inside = [point for point in found if point.losses["clip_score", "search"] < limit]
        _row(f"{limit:g}", kind, max(inside, key=lambda point: point.speedup, default=None))
    print("\nfastest within the limit on both splits")
    print("| limit | kind | speedup | loss | held out | SSIM loss | plan |\n" + "| --- " * 7 + "|")
    for limit, (kind, found) in product(LIMITS, points.items()):
        inside = [point for point in found if all(point.losses["clip_score", split] < limit for split in SPLITS)]
        _row(f"{limit:g}", kind, max(inside, key=lambda point: point.speedup, default=None))
    print("\nleast SSIM loss at a speedup or more")
    print("| speedup | kind | speedup | loss | held out | SSIM loss | plan |\n" + "| --- " * 7 + "|")
    for least, (kind, found) in product(SPEEDUPS, points.items()):
        fast = [point for point in found if point.speedup >= least]
        _row(f"{least:g}x", kind, min(fast, key=_ssim, default=None))
    print("\nbeaten: a plan of the kind in the column is as fast and loses no more SSIM")
    print("| kind | plans | " + " | ".join(points) + " |\n" + "| --- " * (2 + len(points)) + "|")
    for kind, found in points.items():
        counts = (str(beaten(found, others)) if others is not found else "" for others in points.values())
        print(f"| {kind} | {len(found)} | {' | '.join(counts)} |")


def beaten(points: Iterable[Point], others: Iterable[Point]) -> int:
    """How many of the points another is as fast as, at no more SSIM loss."""
    known = [(other.speedup, _ssim(other)) for other in others]
    return sum(any(fast >= p.speedup and lost <= _ssim(p) for fast, lost in known) for p in points)


def _ssim(point: Point) -> float:
    return sum(point.losses["ssim", split] for split in SPLITS) / len(SPLITS)


def _row(first: str, kind: str, point: Point | None) -> None:
    if point is None:
        print(f"| {first} | {kind} | – | | | | |")
        return
    clip = " | ".join(f"{point.losses['clip_score', split]:.4f}" for split in SPLITS)
    print(f"| {first} | {kind} | {point.speedup:.2f}x | {clip} | {_ssim(point):.4f} | `{point.plan}` |")


def confirm(options: argparse.Namespace, points: dict[str, list[Point]]) -> None:
    """The measured figures of the fastest plan of each kind, on held-out prompts, within each limit."""
    torch.set_num_threads(1)
    bench = Bench.open(setting_of(options.setting))
    path, samples = options.work / CONFIRMED, options.samples // 2
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {line["plan"]: line for line in map(json.loads, lines)}

    def measure(plan: str) -> tuple[Trial, EqualTime]:
        if plan not in known:
            trial = bench.trial(Plan.parse(plan), TrialSpec(split="held-out", samples=samples))
            if trial.latency is None or not trial.losses:
                raise InputError(f"{plan} failed: {trial.reason}")
            same = bench.equal_time(
                trial.latency, TrialSpec(split="held-out", samples=samples), plan_losses=trial.losses
            )
            known[plan] = {
                "plan": plan,
                "trial": trial.model_dump(mode="json"),
                "same": same.model_dump(mode="json"),
            }
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[plan]) + "\n")
        return Trial.model_validate(known[plan]["trial"]), EqualTime.model_validate(known[plan]["same"])

    print("\nconfirmed: measured speedup, loss of the CLIP score on held-out prompts, and fewer steps")
    print("| limit | kind | speedup | loss | SSIM loss | same time | its loss | plan |\n" + "| --- " * 8 + "|")
    for limit, (kind, found) in product(LIMITS, points.items()):
        inside = sorted((p for p in found if p.losses["clip_score", "search"] < limit), key=lambda p: -p.speedup)
        for point in inside[:TRIES]:
            trial, same = measure(point.plan)
            if trial.losses["clip_score"].loss < limit:
                print(_confirmed(f"{limit:g}", kind, trial, same), flush=True)
                break
        else:
            print(f"| {limit:g} | {kind} | none of {len(inside[:TRIES])} | | | | | |", flush=True)


def _confirmed(limit: str, kind: str, trial: Trial, same: EqualTime) -> str:
    clip, fewer = trial.losses["clip_score"], same.trial.losses["clip_score"]
    low, high = trial.latency.interval if trial.latency else (0.0, 0.0)
    speed = f"{trial.speedup:.2f}x ({low:.2f} to {high:.2f})"
    loss = f"{clip.loss:.4f} ({clip.interval[0]:.4f} to {clip.interval[1]:.4f})"
    other = f"{same.steps} steps, {same.trial.speedup:.2f}x | {fewer.loss:.4f}"
    return f"| {limit} | {kind} | {speed} | {loss} | {trial.losses['ssim'].loss:.4f} | {other} | `{trial.plan}` |"


def parts(found: Iterable[Point], steps: int) -> dict[str, list[Point]]:
    """The schedules by what they reuse."""
    by: dict[str, list[Point]] = {"kept, full only": [], "kept, guided only": [], "kept, both": []}
    for point in found:
        given = Plan.parse(point.plan).parameters["schedule"]
        whole, both = (len(steps_of(given[name])) == steps for name in ("full_steps", "guided_steps"))
        by["kept, full only" if both else "kept, guided only" if whole else "kept, both"].append(point)
    return by
