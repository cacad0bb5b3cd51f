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

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.replays import METRIC, Aim, Found, Replay, parser_of, replays, resumed

from hasten.search.pursuit import pursue
from hasten.search.strategies import STRATEGIES

AIMS = (None, 0.8, 0.9, 0.95, 1.05)
"""Shares of the table's best that are asked for; None: the fastest plan. The last is out of reach."""
SLACK = 0.98


def verdict(replay: Replay, strategy: str, seed: int, share: Aim) -> Found:
    """One search to its end: its status, and what the table says of it."""
    bench, target = replay.bench(seed), replay.best(seed) * share if share else None
    with replay.session(bench, seed, target) as session:
        decision, trial = pursue(session, STRATEGIES[strategy])
    losses, limit = replay.table.losses(METRIC), replay.limits[METRIC]
    if trial is None or decision == "rejected":
        reachable = target is not None and bool(((losses < limit) & (replay.speedups >= target)).any())
        return {"status": "infeasible", "wrong": reachable, "trials": bench.trials}
    row = [str(plan) for plan in replay.table.plans].index(str(trial.plan))
    too_slow = target is not None and replay.true[str(trial.plan)] < target * SLACK
    too_lossy = bool(losses[row] >= limit)
    found = {"status": decision, "plan": str(trial.plan), "loss": float(losses[row]), "trials": bench.trials}
    return {**found, "too slow": too_slow, "too lossy": too_lossy, "wrong": too_slow or too_lossy}


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
    options, found = parser_of(__doc__, ("guided",), "verdicts.jsonl").parse_args(), list[dict[str, Any]]()
    for replay in replays(options):
        found += resumed(replay, options, AIMS, verdict)
    print(f"{options.setting}, {'; '.join(options.tables)}, limit {options.limit:g}, {options.seeds} seeds:")
    print("wrong of all verdicts, and why *met* ones are\n")
    print("| strategy | met | likely | infeasible | of the met | too slow | too lossy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(row(found, strategy) for strategy in options.strategies))


if __name__ == "__main__":
    main()
