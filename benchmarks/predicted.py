"""The cost model's speedups beside those of the timed plans in the recorded tables.

    python benchmarks/predicted.py

The table has, by set of methods, the median and the 95th percentile of |predicted / measured − 1| over the timed
plans, from the profile alone. A measured speedup is the mean of a few pairs' log ratios, so a part of it is their
scatter; ``error left`` is the model's own error after it has learned from all of these plans, without that part
(replays.py says how). In a moment, on any machine: nothing is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.replays import LIMIT, METRIC, TABLES, TIMED, Replay, timed_table
from benchmarks.tables.plans import pipeline_of

from hasten.limits import Limits


def off(replay: Replay) -> np.ndarray:
    """|predicted / measured − 1| of the timed plans."""
    model = replay.new_model()
    measured = ((model.speedup(plan), np.exp(np.log(times[0] / times[1]).mean())) for plan, times in replay.timed)
    return np.array([abs(predicted / found - 1) for predicted, found in measured])


def row(name: str, errors: np.ndarray, rest: str) -> str:
    middle, high = np.percentile(errors, (50, 95))
    return f"| {name} | {len(errors)} | {middle:.1%} | {high:.1%} | {rest} |"


def rows() -> Iterator[str]:
    pipe, everything = pipeline_of(TIMED), []
    for methods in TABLES:
        replay = Replay(timed_table(TIMED, methods), pipe, Limits({METRIC: LIMIT}))
        everything.append(off(replay))
        yield row(methods, everything[-1], f"{replay.scatter**0.5:.1%} | {replay.error**0.5:.1%}")
    yield row("all of these", np.concatenate(everything), "|")


if __name__ == "__main__":
    print("| methods | timed plans | median error | 95th percentile | scatter of the pairs' mean | error left |")
    print("| --- | --- | --- | --- | --- | --- |")
    for line in rows():
        print(line, flush=True)
