"""Recorded tables as searches see them: what counts as a plan's speedup, and replays that go on where they were.

Times were recorded of a part of the plans and scatter, so the best of many raw ones would be the luckiest. A timed
plan has the speedup between its raw one (the mean of its pairs' log ratios) and what the cost model says after it
has learned from all timed plans, as the scatter of their pairs asks for; the others have what the model says,
times an error of their own (lognormal) that is as large as that of the timed ones without their scatter. No
strategy knows these, nor can it: of many plans at the limit the best is the one with the greatest such error.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from hasten.limits import Limits
from hasten.measure import stats
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel
from hasten.records import Trial
from hasten.search import SearchOptions
from hasten.search.judge import Goal
from hasten.search.session import Session
from hasten.store import Store
from hasten.task import Target

from .tables.plans import pipeline_of
from .tables.replay import RecordedSpace, TableBench, dealt
from .tables.tables import Table, load

TABLES = ("deepcache", "tome", "deepcache,tome", "tgate", "deepcache,tgate", "deepcache,tgate,tome")
RESAMPLES = 1000
"""Of the bootstrap: a tenth of hasten's own, for there are many replays."""
METRIC, LIMIT = "clip_score", 0.02
TIMED = "DDIM 25"
"""The setting whose plans were timed."""

Aim = float | None
Found = dict[str, Any]


@dataclass(frozen=True)
class Replay:
    """One table, ready to be searched again and again."""

    table: Table
    pipe: Any
    limits: Limits
    samples: int | None = None
    """Prompts to search with, and to confirm with at first; None: as many as recorded."""

    @cached_property
    def model(self) -> CostModel:
        """Has learned from all timed plans: the source of speedups of those that were never timed."""
        found, bench = self.new_model(), TableBench([self.table], pipe=self.pipe)
        found.learn(
            Trial(plan=str(plan), steps=self.table.setting.steps, latency=bench.latency(plan, pairs=len(times.T)))
            for plan, times in self.timed
        )
        return found

    @property
    def timed(self) -> list[tuple[Plan, np.ndarray]]:
        """Plans and their (2, pairs) seconds."""
        return [(self.table.plans[i], self.table.pairs(i)) for i in map(int, np.flatnonzero(self.table.timed))]

    @cached_property
    def residuals(self) -> dict[str, float]:
        """How far the timed plans' mean log ratios are off the model's."""
        return {str(p): float(_logs(times).mean()) - math.log(self.model.speedup(p)) for p, times in self.timed}

    @cached_property
    def scatter(self) -> float:
        """Variance that the residuals have because few pairs were timed of each plan."""
        return float(np.mean([np.var(_logs(times), ddof=1) / len(times.T) for _, times in self.timed]))

    @cached_property
    def error(self) -> float:
        """Variance of what is left of them without it."""
        return max(0.0, float(np.var(list(self.residuals.values()))) - self.scatter)

    def new_model(self) -> CostModel:
        return CostModel(self.pipe, self.table.profile, self.table.setting.steps)

    def speedup(self, plan: Plan) -> float:
        """What counts as a plan's speedup."""
        if str(plan) in self.residuals:
            own = self.residuals[str(plan)] * self.error / (self.error + self.scatter)
        else:
            own = np.random.default_rng(zlib.crc32(str(plan).encode())).normal(0, math.sqrt(self.error))
        return self.model.speedup(plan) * math.exp(own)

    @cached_property
    def speedups(self) -> np.ndarray:
        return np.array([self.speedup(plan) for plan in self.table.plans])

    @cached_property
    def true(self) -> dict[str, float]:
        """Speedup by plan, without the scatter of a few pairs."""
        return dict(zip(map(str, self.table.plans), map(float, self.speedups), strict=True))

    def inside(self, seed: int) -> np.ndarray:
        """(plans,): which are within the limits on all of the seed's own search prompts."""
        columns = dealt(self.table, seed, self.samples)["search"]
        inside = np.ones(len(self.table), bool)
        for metric in self.limits:
            baseline = self.table.baseline[metric][columns].mean()
            losses = (baseline - self.table.scores[metric][:, columns].mean(axis=1)) / baseline
            inside &= np.array([self.limits.excess(metric, loss) < 0 for loss in losses])
        return inside

    def worth(self, seed: int) -> dict[str, float]:
        """What choosing a plan is worth, by plan: its speedup, and 1 where it breaks a limit."""
        worth = np.where(self.inside(seed), self.speedups, 1.0)
        return dict(zip(map(str, self.table.plans), map(float, worth), strict=True))

    def best(self, seed: int) -> float:
        """The highest speedup within the limits on the seed's own search prompts, by looking at all plans."""
        return max(1.0, float(np.max(np.where(self.inside(seed), self.speedups, 0.0))))

    def bench(self, seed: int) -> TableBench:
        """The table with its prompts dealt anew by the seed."""
        return TableBench([self.table], pipe=self.pipe, predict=self.speedup, seed=seed, searched=self.samples)

    @contextmanager
    def session(
        self, bench: TableBench, seed: int, target: float | None, progress: Callable[[Any], None] | None = None
    ) -> Iterator[Session]:
        """A search that has not begun, for the first plan that meets the target speedup or for the fastest."""
        goal = Goal(self.limits, Target(speedup=target) if target else None, "first" if target else "fastest")
        space = RecordedSpace(self.table, self.pipe)
        samples = self.samples or self.table.header["samples"]["search"]
        options = SearchOptions(storage="memory", seed=seed, max_trials=len(space), num_samples=samples)
        with Store("memory", bench.setting, bench.identity) as store:
            known = {"spaces": [space], "progress": progress, "predictor": self.new_model}
            yield Session(bench, store, goal, options, **known)


def _logs(times: np.ndarray) -> np.ndarray:
    """(2, pairs) seconds → (pairs,) log ratios."""
    return np.asarray(np.log(times[0] / times[1]))


def parser_of(documentation: str | None, strategies: Sequence[str], out: str) -> argparse.ArgumentParser:
    """The options that all replaying benchmarks have."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", default=TABLES)
    parser.add_argument("--setting", default="DDIM 25")
    parser.add_argument("--strategies", nargs="+", default=strategies)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0, help="of the --seeds seeds in a row")
    parser.add_argument("--aims", nargs="+", type=_aim, metavar="SHARE", help="of the best, or 'best'")
    parser.add_argument("--limit", type=float, default=LIMIT)
    parser.add_argument("--samples", type=int, help="prompts to search with, of those recorded for both splits")
    parser.add_argument("--out", default=out)
    return parser


def _aim(text: str) -> Aim:
    return None if text == "best" else float(text)


def replays(options: argparse.Namespace) -> Iterator[Replay]:
    """Each of the tables that the options name."""
    stats.RESAMPLES = RESAMPLES
    pipe = pipeline_of(options.setting)
    for methods in options.tables:
        table = timed_table(options.setting, methods)
        yield Replay(table, pipe, Limits({METRIC: options.limit}), options.samples)


def timed_table(setting: str, methods: str) -> Table:
    """The recorded table; where none of its plans was timed, with the times that they took in the other setting.

    What a step of the denoiser costs is the same under every scheduler.
    """
    table = load(setting, methods)
    if table.header["latency"]:
        return table
    other = load(TIMED, methods)
    latency = {**other.header["latency"], "setting": table.header["setting"]}
    rows = {row.plan: i for i, row in enumerate(other.rows)}
    times = np.full((len(table), *other.times.shape[1:]), np.nan)
    for i, row in enumerate(table.rows):
        if row.plan in rows:
            times[i] = other.times[rows[row.plan]]
    return replace(table, header={**table.header, "latency": latency}, times=times)


def resumed(
    replay: Replay,
    options: argparse.Namespace,
    aims: Sequence[Aim],
    once: Callable[[Replay, str, int, Aim], Found | None],
) -> list[Found]:
    """What ``once`` finds for every strategy, seed and aim on a table, by now or before: the file keeps it all."""
    out = Path(options.out)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(f["table"], f["strategy"], f["seed"], f["aim"]) for f in found}
    name = f"{options.setting} {replay.table.name} {options.limit:g} {len(replay.table)}"
    name += f" {options.samples} prompts" if options.samples else ""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    wanted = [(s, seed, aim) for s in options.strategies for seed in seeds for aim in options.aims or aims]
    for strategy, seed, aim in track([key for key in wanted if (name, *key) not in done], name, transient=True):
        entry = once(replay, strategy, seed, aim)
        if entry is not None:
            found.append({"table": name, "strategy": strategy, "seed": seed, "aim": aim, **entry})
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found[-1]) + "\n")
    return [f for f in found if f["table"] == name and f["seed"] in seeds]
