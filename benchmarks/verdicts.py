"""How often a verdict is wrong: searches replayed to their end, their verdicts held against the whole table.

    python benchmarks/verdicts.py
    python benchmarks/verdicts.py deepcache,tome --strategies guided --seeds 200

Each replay is a whole search on a recorded table (see search_cost.py), for the fastest plan or for a target, with
the verdict on prompts that the search never used. The table knows more than the verdict: every prompt's score,
searched and held out, and the speedup without the scatter of a few pairs. A verdict *met* or *likely* is *wrong in
its loss* where the plan's mean loss over all of the table's prompts breaks the limit, and *wrong in its speedup*
where the table's speedup is below the target by more than 2%, the width to which a verdict times. *Infeasible* is
wrong where the table has a plan that meets the target with its loss over all prompts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.search_cost import LIMIT, RESAMPLES, Replay
from benchmarks.tables.plans import pipeline_of
from benchmarks.tables.replay import RecordedSpace, TableBench
from benchmarks.tables.tables import load

from hasten.limits import Limits
from hasten.measure import stats
from hasten.search import SearchOptions
from hasten.search.confirm import pursue
from hasten.search.judge import Goal
from hasten.search.session import Session
from hasten.search.strategies import STRATEGIES
from hasten.store import Store
from hasten.task import Target

AIMS = (None, 0.8, 0.9, 0.95, 1.05)
"""Shares of the table's best that are asked for; None: the fastest plan. The last is out of reach."""
SLACK = 0.98


def verdict(replay: Replay, strategy: str, seed: int, share: float | None) -> dict[str, Any]:
    """One search to its end: its status, and what the table says of it."""
    bench = TableBench([replay.table], pipe=replay.pipe, predict=replay.speedup, seed=seed)
    target = replay.best(seed) * share if share else None
    goal = Goal(replay.limits, Target(speedup=target) if target else None, "first" if target else "fastest")
    space = RecordedSpace(replay.table, replay.pipe)
    options = SearchOptions(storage="memory", seed=seed)
    with Store("memory", bench.setting, bench.identity) as store:
        session = Session(bench, store, goal, options, spaces=[space], predictor=replay.new_model)
        decision, trial = pursue(session, STRATEGIES[strategy])
    losses = replay.table.losses("clip_score")
    limit = replay.limits["clip_score"]
    if trial is None or decision == "rejected":
        reachable = target is not None and bool(((losses < limit) & (replay.speedups >= target)).any())
        return {"status": "infeasible", "wrong": reachable, "trials": bench.trials}
    row = [str(plan) for plan in replay.table.plans].index(trial.plan)
    too_slow = target is not None and replay.true[trial.plan] < target * SLACK
    too_lossy = bool(losses[row] >= limit)
    found = {"status": decision, "plan": trial.plan, "loss": float(losses[row]), "trials": bench.trials}
    return {**found, "too slow": too_slow, "too lossy": too_lossy, "wrong": too_slow or too_lossy}


def run(replay: Replay, options: argparse.Namespace, out: Path) -> list[dict[str, Any]]:
    """All replays of a table, those that the file has already included."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(f["table"], f["strategy"], f["seed"], f["aim"]) for f in found}
    name = f"{options.setting} {replay.table.name} {options.limit:g} {len(replay.table)}"
    wanted = [(s, seed, aim) for s in options.strategies for seed in range(options.seeds) for aim in AIMS]
    for strategy, seed, aim in track([key for key in wanted if (name, *key) not in done], name, transient=True):
        entry = {"table": name, "strategy": strategy, "seed": seed, "aim": aim}
        entry |= verdict(replay, strategy, seed, aim)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        found.append(entry)
    return [f for f in found if f["table"] == name and f["seed"] < options.seeds]


def row(found: Sequence[dict[str, Any]], strategy: str) -> str:
    """Verdicts by status, and how many of them the table contradicts."""
    own = [f for f in found if f["strategy"] == strategy]
    counts, wrong = Counter(f["status"] for f in own), Counter(f["status"] for f in own if f["wrong"])
    cells = [f"{wrong[status]} of {counts[status]}" for status in ("met", "likely", "infeasible")]
    slow, lossy = (
        sum(f.get(what, False) for f in own if f["status"] == "met") for what in ("too slow", "too lossy")
    )
    share = f"{wrong['met'] / counts['met']:.1%}" if counts["met"] else ""
    return f"| {strategy} | {' | '.join(cells)} | {share} | {slow} | {lossy} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = ["deepcache", "tome", "deepcache,tome", "tgate", "deepcache,tgate"]
    parser.add_argument("tables", nargs="*", default=tables)
    parser.add_argument("--setting", default="DDIM 25")
    parser.add_argument("--strategies", nargs="+", default=["guided"])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--limit", type=float, default=LIMIT["clip_score"])
    parser.add_argument("--out", default="verdicts.jsonl")
    options = parser.parse_args()
    stats.RESAMPLES = RESAMPLES
    pipe, found = pipeline_of(options.setting), list[dict[str, Any]]()
    for methods in options.tables:
        found += run(Replay(load(options.setting, methods), pipe, Limits(LIMIT | {"clip_score": options.limit})),
                     options, Path(options.out))  # fmt: skip
    print(f"{options.setting}, {'; '.join(options.tables)}, limit {options.limit:g}, {options.seeds} seeds:")
    print("wrong of all verdicts, and why *met* ones are\n")
    print("| strategy | met | likely | infeasible | of the met | too slow | too lossy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(row(found, strategy) for strategy in options.strategies))


if __name__ == "__main__":
    main()
