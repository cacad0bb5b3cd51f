"""A bound searched live, beside the fastest of the recorded plans that keep the limit.

    python -m benchmarks.live_bound deepcache,tgate --max-time 7m

Runs ``hasten search`` for the bound, in a process of its own, and takes the time of that. Then its plan, and those
plans of the recorded table that are within the limit both on the prompts of searches and on held-out ones and are
the fastest by the cost model, are called in rounds (rounds.py) beside the baseline: they differ by less than two
timings made apart do. On an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import InputError
from hasten.limits import Limits
from hasten.measure.bench import Bench
from hasten.plan import Plan

from .lines import Lines
from .replays import METRIC, TIMED, Replay, timed_table
from .rounds import Rounds
from .schedule_report import SPLITS
from .tables.plans import pipeline_of, scheduler_and_steps, setting_of


def searched(options: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """The answer of a search in a store of its own, and its seconds."""
    scheduler, steps = scheduler_and_steps(TIMED)
    given = (
        "--pipe",
        "emoji-sd",
        "--sched",
        scheduler,
        "--steps",
        str(steps),
        "--search_targets",
        options.methods,
    )
    limits = ("--req_score_loss", str(options.limit), "--max-time", options.max_time)
    command = (sys.executable, "-m", "hasten", "search", *given, *limits, "--storage", "memory", "--json")
    start = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    answer = json.loads(run.stdout) if run.stdout else {"reason": f"it ended with {run.returncode}"}
    if not answer.get("plan"):
        raise InputError(f"The search has no plan: {answer['reason']}.")
    return answer, time.monotonic() - start


def best_recorded(methods: str, limit: float, count: int) -> list[Plan]:
    """The fastest by what the cost model has learned, of those that keep the limit on both splits of prompts."""
    replay = Replay(timed_table(TIMED, methods), pipeline_of(TIMED), Limits({METRIC: limit}))
    inside = np.all([replay.table.losses(METRIC, split) < limit for split in SPLITS], axis=0)
    speedups = [
        replay.model.speedup(plan) if kept else 0.0 for plan, kept in zip(replay.table.plans, inside, strict=True)
    ]
    return [replay.table.plans[i] for i in np.argsort(speedups)[::-1][:count]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live_bound",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("methods", nargs="?", default="deepcache,tgate", help="of a recorded table")
    parser.add_argument("--limit", type=float, default=0.02)
    parser.add_argument("--max-time", default="7m", help="of the search, before its answer is confirmed")
    parser.add_argument("--recorded", type=int, default=8, help="recorded plans to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("live_bound.jsonl"), help="file of the calls")
    options = parser.parse_args()
    recorded = best_recorded(options.methods, options.limit, options.recorded)
    answer, seconds = searched(options)
    told = f"{answer['status']} {answer['speedup']:.2f}x, {answer['trials']} trials, {seconds:.0f} s"
    print(f"{told}: {answer['plan']}")
    bench = Bench.open(setting_of(TIMED))
    found = Plan.parse(answer["plan"])
    lines = Lines(options.out, bench.setting, bench.environment)
    rounds = Rounds(bench, lines, list(dict.fromkeys([found, *recorded])), options.rounds)
    rounds.run()
    print("\n| plan | speedup | 95% |\n| --- | --- | --- |")
    for trial in rounds.trials():
        if trial.latency:
            mark = "**" if trial.plan == found else ""
            print(f"| {mark}`{trial.plan}`{mark} | {trial.speedup:.3f}x | {trial.latency.between('.3f')} |")


if __name__ == "__main__":
    main()
