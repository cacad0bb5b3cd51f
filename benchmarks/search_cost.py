"""What a search costs: trials and images until a strategy has found what trying everything would find.

    python benchmarks/search_cost.py
    python benchmarks/search_cost.py deepcache,tome --setting "DDIM 25" --strategies guided tpe --seeds 10

Replays the strategies on the recorded tables (benchmarks/tables). Each seed deals the recorded prompts anew into
those to search with and those held out, and is the sampled strategies' seed. The aim is what the whole table holds
on those very prompts: its fastest plan within the limit. Counted are the trials, and the images drawn of plans,
until the plan that would be chosen reaches 98% of its speedup, and until one meets 80, 90 and 95% of it as a
target. Plans that were never timed have the speedup that the cost model gives once it has learned from all that
were, times an error of their own that no strategy knows: lognormal, as large as those of the timed plans are.
Results are kept run by run in the file --out: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.tables.plans import pipeline_of
from benchmarks.tables.replay import RecordedSpace, TableBench, dealt
from benchmarks.tables.tables import Table, load

from hasten.limits import Limits
from hasten.measure import stats
from hasten.plan import Plan
from hasten.records import Trial
from hasten.search import SearchOptions
from hasten.search.cost import CostModel
from hasten.search.judge import Goal
from hasten.search.session import Session
from hasten.search.strategies import STRATEGIES
from hasten.store import Store
from hasten.task import Target

SHARE, AIMS = 0.98, (None, 0.8, 0.9, 0.95)
RESAMPLES = 1000
"""Of the bootstrap: a tenth of hasten's own, for there are many replays."""
LIMIT = {"clip_score": 0.02}


class AimReached(Exception):  # noqa: N818 - no error
    """The search has what it was after."""


@dataclass(frozen=True)
class Replay:
    """One table, ready to be searched again and again."""

    table: Table
    pipe: Any
    limits: Limits

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
    def error(self) -> float:
        """Standard deviation of the timed plans' log speedups around the model's."""
        speedups = self.table.speedups()[self.table.timed]
        return float(
            np.std([math.log(s / self.model.speedup(p)) for s, (p, _) in zip(speedups, self.timed, strict=True)])
        )

    def new_model(self) -> CostModel:
        return CostModel(self.pipe, self.table.profile, self.table.setting.steps)

    def speedup(self, plan: Plan) -> float:
        """Of a plan that was never timed."""
        own = np.random.default_rng(zlib.crc32(str(plan).encode())).normal(0, self.error)
        return self.model.speedup(plan) * math.exp(own)

    @cached_property
    def speedups(self) -> np.ndarray:
        return self.table.speedups(self.speedup)

    @cached_property
    def true(self) -> dict[str, float]:
        """Speedup by plan, without the scatter of a few pairs."""
        return dict(zip(map(str, self.table.plans), map(float, self.speedups), strict=True))

    def best(self, seed: int) -> float:
        """The highest speedup within the limits on the seed's own search prompts, by looking at all plans."""
        columns = dealt(self.table, seed)["search"]
        inside = np.ones(len(self.table), bool)
        for metric in self.limits:
            baseline = self.table.baseline[metric][columns].mean()
            losses = (baseline - self.table.scores[metric][:, columns].mean(axis=1)) / baseline
            inside &= np.array([self.limits.excess(metric, loss) < 0 for loss in losses])
        return max(1.0, float(np.max(np.where(inside, self.speedups, 0.0))))

    def search(self, strategy: str, seed: int, share: float | None) -> tuple[int, int] | None:
        """Trials and images until the aim is reached: 98% of the best or, with a share, a plan that meets that
        share of it as a target. None where the strategy ended before."""
        bench = TableBench([self.table], pipe=self.pipe, predict=self.speedup, seed=seed)
        aim = self.best(seed) * (share or SHARE)
        goal = Goal(self.limits, Target(speedup=aim) if share else None, "first" if share else "fastest")

        def tell(news: Any) -> None:
            if news.trial and news.best and self.true[news.best.plan] >= aim:
                raise AimReached

        space = RecordedSpace(self.table, self.pipe)
        options = SearchOptions(storage="memory", seed=seed, max_trials=len(space))
        with Store("memory", bench.setting, bench.identity) as store:
            session = Session(bench, store, goal, options, spaces=[space], progress=tell, predictor=self.new_model)
            try:
                for _ in range(options.confirmations):
                    STRATEGIES[strategy](session)
                    if (best := session.best()) is None:
                        break
                    session.reject(best)  # as a verdict would: it was only timed as fast
            except AimReached:
                return bench.trials, bench.images
        return None


def run(replay: Replay, options: argparse.Namespace, out: Path) -> list[dict[str, Any]]:
    """All replays of a table, those that the file has already included."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(f["table"], f["strategy"], f["seed"], f["aim"]) for f in found}
    name = f"{options.setting} {replay.table.name} {options.limit:g} {len(replay.table)}"
    wanted = [(s, seed, aim) for s in options.strategies for seed in range(options.seeds) for aim in AIMS]
    missing = [key for key in wanted if (name, *key) not in done]
    for strategy, seed, aim in track(missing, name, transient=True):
        if aim is None or replay.best(seed) > 1.05:
            reached = replay.search(strategy, seed, aim)
            entry = {"table": name, "strategy": strategy, "seed": seed, "aim": aim, "reached": reached}
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            found.append(entry)
    return [f for f in found if f["table"] == name and f["seed"] < options.seeds]


def row(found: Sequence[dict[str, Any]], strategy: str) -> str:
    """Median and 90th percentile of the trials, median of the images; of runs that ended before, infinity."""
    cells = []
    for aim in AIMS:
        own = [f["reached"] for f in found if (f["strategy"], f["aim"]) == (strategy, aim)]
        if not own:
            cells.append("")
            continue
        trials, images = np.array([reached or (math.inf, math.inf) for reached in own], dtype=float).T
        middle, high = (np.percentile(trials, q, method="higher") for q in (50, 90))
        drawn = f", {np.percentile(images, 50, method='higher'):.0f} images" if aim is None else ""
        missed = f", {np.isinf(trials).sum()} of {len(own)} missed" if np.isinf(trials).any() else ""
        cells.append(f"{middle:.0f} ({high:.0f}){drawn}{missed}")
    return "| " + " | ".join([strategy, *cells]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tables", nargs="*", default=["deepcache", "tome", "deepcache,tome", "tgate", "deepcache,tgate"]
    )
    parser.add_argument("--setting", default="DDIM 25")
    parser.add_argument("--strategies", nargs="+", default=["traversal", "random", "tpe", "nsga2", "guided"])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--limit", type=float, default=LIMIT["clip_score"])
    parser.add_argument("--out", default="search_cost.jsonl")
    options = parser.parse_args()
    stats.RESAMPLES = RESAMPLES
    pipe = pipeline_of(options.setting)
    for methods in options.tables:
        replay = Replay(load(options.setting, methods), pipe, Limits({"clip_score": options.limit}))
        found = run(replay, options, Path(options.out))
        bests = [replay.best(seed) for seed in range(options.seeds)]
        print(f"\n{options.setting}, {methods}, limit {options.limit:g}: {len(replay.table)} plans", end="; ")
        print(
            f"the best is {np.median(bests):.2f}x ({min(bests):.2f} to {max(bests):.2f} over {len(bests)} seeds)"
        )
        print("\n| strategy | 98% of the best | target 0.8 | 0.9 | 0.95 |\n| --- | --- | --- | --- | --- |")
        print("\n".join(row(found, strategy) for strategy in options.strategies), flush=True)


if __name__ == "__main__":
    main()
