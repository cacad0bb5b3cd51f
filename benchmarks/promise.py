"""Do the scripts keep their promise? Makes scripts over many settings and measures each in a fresh process.

    python benchmarks/promise.py --out promise
    python benchmarks/promise.py --out promise --device cuda --max-time-s 180

For every cell of a matrix (by default two embedded models with two schedulers, two numbers of steps and two sets
of methods) the upper bound is searched, tasks are made from it, and each task's script is written and
measured again in a process of its own, on the fresh prompts that neither the search nor the verdict has seen. That
is what ``hasten run --matrix`` does; this adds the table. Stopped, it goes on by the same command.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from hasten import api
from hasten.answer import Answer
from hasten.cli.live import Live
from hasten.measure.environment import environment
from hasten.records import Status, Trial
from hasten.script.claim import TOLERANCE
from hasten.search.strategies import STRATEGIES
from hasten.workflow.batch import BatchAnswer
from hasten.workflow.matrix import Matrix
from hasten.workflow.opening import device_of
from hasten.workflow.place import Place

MATRIX = {
    "models": ["emoji-sd", "emoji-sdxl"],
    "schedulers": ["DDIM", "DPM-Solver++"],
    "steps": [8, 12],
    "methods": ["deepcache", "deepcache,tome"],
    "ratios": [0.7, 0.8, 0.9],
}
GOAL = 0.95


def share(held: Sequence[bool]) -> str:
    """``39 of 41 (95%)``"""
    return f"{sum(held)} of {len(held)}" + (f" ({sum(held) / len(held):.0%})" if held else "")


def pairs(tasks: Sequence[BatchAnswer]) -> list[tuple[Answer, Trial]]:
    """The answers that have a script with a plan, each with what the fresh process measured of it."""
    answers = [one.answer for one in tasks if one.answer and one.answer.plan]
    return [(a, a.fresh) for a in answers if a.fresh is not None and a.fresh.latency is not None]


def near(answer: Answer, fresh: Trial) -> bool:
    """The speedup is at least 95% of the claim, by the medians alone."""
    return fresh.speedup >= TOLERANCE * (answer.speedup or 0.0)


def either_side(answer: Answer, fresh: Trial) -> bool:
    """The speedup is within 5% of the claim, on either side of it."""
    return abs(fresh.speedup / (answer.speedup or 1.0) - 1) <= 1 - TOLERANCE


def kept(answer: Answer, fresh: Trial) -> bool:
    """Every limited loss is below its limit, by the mean alone."""
    return fresh.feasible(answer.task.limits)


def summary(tasks: Sequence[BatchAnswer], seconds: float) -> list[str]:
    """The shares, of all the scripts and of those whose answer was *met* before they were measured again."""
    found = pairs(tasks)
    sure = [(a, f) for a, f in found if a.confirmed and _inside(a)]
    counts = Counter(one.status for one in tasks)
    rows = [
        ("speedup within 5% of the claim, either side", either_side),
        ("speedup at least 95% of the claim", near),
        ("loss on fresh prompts below the limit", kept),
    ]
    return [
        f"{len(tasks)} tasks: " + ", ".join(f"{counts[s]} {s}" for s in get_args(Status)),
        f"{len(found)} scripts measured in fresh processes; goal {GOAL:.0%}; {seconds / 60:.0f} minutes in all",
        "",
        "| | all scripts | those whose whole loss interval was inside |",
        "| --- | --- | --- |",
        *(f"| {what} | {share([t(*p) for p in found])} | {share([t(*p) for p in sure])} |" for what, t in rows),
        f"| not refuted (`hasten verify`) | {share([bool(a.verified) for a, _ in found])} "
        f"| {share([bool(a.verified) for a, _ in sure])} |",
    ]


def _inside(answer: Answer) -> bool:
    losses = answer.confirmed.losses if answer.confirmed else {}
    return answer.task.limits.verdict(losses) == "inside"


def row(one: BatchAnswer) -> str:
    """A task, what was claimed and what the fresh process measured."""
    answer = one.answer
    cells = [one.name, one.status]
    if answer and answer.plan and answer.fresh and answer.fresh.latency:
        low, high = answer.fresh.latency.interval
        metric = next(iter(answer.task.max_loss))
        loss = answer.fresh.losses.get(metric)
        cells += [
            f"{answer.speedup:.2f}x",
            f"{answer.fresh.speedup:.2f}x ({low:.2f} to {high:.2f})",
            f"{answer.quality_loss:.4f}",
            f"{loss.loss:.4f} ({loss.interval[0]:.4f} to {loss.interval[1]:.4f})" if loss else "",
            f"`{answer.plan}`",
        ]
    else:
        cells += ["", "", "", "", one.reason]
    return "| " + " | ".join([*cells, f"{one.seconds:.0f} s"]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="promise", help="folder of all that is made; also keeps the trials")
    parser.add_argument("--matrix", help="YAML file, as of hasten run --matrix")
    parser.add_argument("--device")
    parser.add_argument("--num-samples", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--strategy", choices=STRATEGIES, default="guided")
    parser.add_argument("--max-time-s", type=float, help="of each search")
    options = parser.parse_args()
    out, began = Path(options.out), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    here = environment(*device_of(Place(device=options.device)))
    print(", ".join(f"{name} {value}" for name, value in here.items()), flush=True)
    with Live() as live:
        _, tasks = api.run_matrix(
            Matrix.read(options.matrix) if options.matrix else MATRIX,
            out=out,
            device=options.device,
            tell=live.update,
            num_samples=options.num_samples,
            pairs=options.pairs,
            strategy=options.strategy,
            max_time_s=options.max_time_s,
            storage=str(out / "trials.db"),
        )
    print("\n".join(summary(tasks, time.monotonic() - began)))
    print("\n| task | answer | claimed | measured again | loss claimed | measured again | plan or reason | time |")
    print("| --- " * 8 + "|")
    print("\n".join(map(row, tasks)))


if __name__ == "__main__":
    main()
