"""What a search costs: trials and images until a strategy has found what trying everything would find.

    python benchmarks/search_cost.py
    python benchmarks/search_cost.py deepcache,tome --setting "DDIM 25" --strategies guided tpe --seeds 10

Replays the strategies on the recorded tables (benchmarks/tables; replays.py says what counts as a plan's speedup).
Each seed deals the recorded prompts anew into those to search with and those held out, and is the sampled
strategies' seed. The aim is what the whole table holds on those very prompts: its fastest plan within the limit.
Counted are the trials, and the images drawn of plans, until the plan that would be chosen reaches 98% of its
speedup (one that breaks the limit on all of those prompts is worth nothing), and until one meets 80, 90 and 95% of
it as a target. Results are kept run by run in the file --out: the
same command goes on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.replays import Aim, Found, Replay, parser_of, replays, resumed

from hasten.search.session import Session
from hasten.search.strategies import STRATEGIES

SHARE, AIMS = 0.98, (None, 0.8, 0.9, 0.95)
WORTH_IT = 1.05
"""A table whose best is no faster has no targets to ask for."""


class AimReached(Exception):  # noqa: N818 - no error
    """The search has what it was after."""


def search(replay: Replay, strategy: str, seed: int, share: Aim) -> Found | None:
    """Trials and images until the aim is reached: 98% of the best or, with a share, a plan that meets that share
    of it as a target. None where the strategy ended before. ``path``: trials and images at each change of the plan
    that would be chosen, and what it is worth, as a share of the best."""
    if share and replay.best(seed) <= WORTH_IT:
        return None
    bench, best, worth = replay.bench(seed), replay.best(seed), replay.worth(seed)
    aim, path = best * (share or SHARE), [(0, 0, 1 / best)]

    def tell(news: Any) -> None:
        if not news.trial:
            return
        chosen = worth[str(news.best.plan)] if news.best else 1.0
        if chosen / best != path[-1][2]:
            path.append((bench.trials, bench.images, chosen / best))
        if chosen >= aim:
            raise AimReached

    with replay.session(bench, seed, aim if share else None, tell) as session:
        try:
            _search(session, strategy)
        except AimReached:
            return {"reached": (bench.trials, bench.images), "path": path}
    return {"reached": None, "spent": (bench.trials, bench.images), "path": path}


def _search(session: Session, strategy: str) -> None:
    """Goes on as after verdicts that reject: what is chosen here was only timed as fast."""
    for _ in range(session.budget.confirmations):
        STRATEGIES[strategy](session)
        if (best := session.ledger.best()) is None:
            return
        session.ledger.reject(best.trial)


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


def _plans(replay: Replay, found: Sequence[Found]) -> str:
    """What there is to find, over the seeds: the best, and how many plans are within the limit and near it."""
    seeds = sorted({f["seed"] for f in found})
    bests = [replay.best(seed) for seed in seeds]
    inside = [replay.inside(seed) for seed in seeds]
    near = [
        int((kept & (replay.speedups >= SHARE * best)).sum()) for kept, best in zip(inside, bests, strict=True)
    ]
    return (
        f"{len(replay.table)} plans; the best is {_spread(bests, '.2f')}; within the limit are "
        f"{_spread([int(kept.sum()) for kept in inside], '.0f')}, of these near the best {_spread(near, '.0f')}"
    )


def _spread(values: Sequence[float], spec: str) -> str:
    return f"{np.median(values):{spec}} ({min(values):{spec}} to {max(values):{spec}})"


def main() -> None:
    strategies = ("traversal", "random", "tpe", "nsga2", "guided")
    options = parser_of(__doc__, strategies, "search_cost.jsonl").parse_args()
    for replay in replays(options):
        found = resumed(replay, options, AIMS, search)
        print(f"\n{options.setting}, {replay.table.name}, limit {options.limit:g}: {_plans(replay, found)}")
        print("\n| strategy | 98% of the best | target 0.8 | 0.9 | 0.95 |\n| --- | --- | --- | --- | --- |")
        print("\n".join(row(found, strategy) for strategy in options.strategies), flush=True)


if __name__ == "__main__":
    main()
