"""The cost model's predicted speedups beside measured ones, for plans drawn at random from the methods' grids.

    python -m benchmarks.cost_model deepcache tgate tome deepcache,tgate deepcache,tgate,tome --plans 40
    python -m benchmarks.cost_model deepcache,tgate --device cuda --scheduler UniPC --steps 20 --out gpu.jsonl

One profile of the baseline, taken as a search takes it but with more repeats, then rounds, each of which calls
every plan once, and the baseline before every five of them; calls are timed step by step
(hasten.measure.stepwise). Every call is one line of the file: a stopped run goes on where it was, and only missing
calls are made. The table has, by set of methods, the median and the 95th percentile of |predicted / measured − 1|:
of the pure prediction, and after learning from the first n plans, on the others. ``inside``: the share of measured
ones within the 95% that the model gives. On an idle machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from math import hypot, log
from pathlib import Path

import numpy as np
import torch

from hasten.measure.bench import Bench
from hasten.measure.blocks import BlockProfile, profile_blocks
from hasten.models import find_model
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel
from hasten.predict.space import Space
from hasten.predict.timed_pairs import error_of, log_ratio, scatter_of
from hasten.records import Trial
from hasten.task import Setting

from .lines import Lines
from .rounds import Rounds

COLUMNS = ("methods", "plans", "learned from", "median error", "95th percentile", "inside")
WITHIN = 1.96
REPEATS = 9
"""Of the profile: most of them are without a disturbance that lasts."""


def profile(bench: Bench, lines: Lines, repeats: int) -> BlockProfile:
    """The setting's profile, measured where the file has none."""
    if "profile" not in lines.found:
        report = partial(print, file=sys.stderr, flush=True)
        found = profile_blocks(bench.pipeline, repeats=repeats, report=report)
        lines.add("profile", profile=found.model_dump(mode="json"), environment=bench.environment)
    return BlockProfile.model_validate(lines.found["profile"]["profile"])


def drawn(bench: Bench, methods: Sequence[str], count: int, seed: int) -> list[Plan]:
    """Plans of the methods' grid in a seeded order, each once."""
    space = Space(methods, bench.pipe, bench.setting.steps)
    cells = np.argwhere(space.cells)
    order = np.random.default_rng(seed).permutation(len(cells))[:count]
    return [space.plan(tuple(map(int, cells[i]))) for i in order]


def row(model: CostModel, name: str, trials: Sequence[Trial], count: int) -> tuple[str, ...]:
    """One row of the table: errors on the trials after the first ``count``, which the model learns from."""
    model.learn(trials[:count])
    rest = [(trial.latency, trial.plan) for trial in trials[count:] if trial.latency]
    errors = np.array([abs(model.speedup(plan) / latency.speedup - 1) for latency, plan in rest])
    scatter = scatter_of(latency for latency, _ in rest)
    spreads = [hypot(model.deviation(plan), error_of(latency, scatter)) for latency, plan in rest]
    off = [
        abs(log(model.speedup(plan)) - log_ratio(latency)) / spread
        for spread, (latency, plan) in zip(spreads, rest, strict=True)
    ]
    inside = np.mean(np.array(off) < WITHIN)
    middle, high = np.percentile(errors, (50, 95))
    return name, str(len(rest)), str(count), f"{middle:.1%}", f"{high:.1%}", f"{inside:.0%}"


def show_profile(found: BlockProfile) -> None:
    """Where the time goes, by block."""
    print(
        f"\nbaseline of {found.steps} steps {found.latency_s * 1e3:.1f} ms: text {found.text_s * 1e3:.1f}, "
        f"decoding {found.decode_s * 1e3:.1f}, rest {found.rest_s * 1e3:.1f}, {found.calls} calls of the "
        f"denoiser, between them {found.between_s * 1e3:.2f}; without guidance {found.half_latency_s * 1e3:.1f} ms"
    )
    for block, kinds in found.by_block().items():
        figures = ", ".join(f"{kind} {seconds * 1e3:.2f}" for kind, seconds in kinds.items())
        print(f"{block or 'the denoiser itself'}: {figures} ms a call")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="comma-separated sets of methods")
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--scheduler", default="DDIM")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, help="of PyTorch on the CPU; its own choice where not given")
    parser.add_argument("--plans", type=int, default=40, help="of each set of methods")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of the profile")
    parser.add_argument(
        "--learn", type=int, nargs="*", default=(2, 4, 8, 16), help="numbers of plans to learn from"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("cost_model.jsonl"))
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    known = find_model(options.model)[1]
    side, guidance = known.resolution, known.guidance_scale
    kind = {"dtype": options.dtype, "device": options.device}
    bench = Bench.open(Setting(known.name, options.scheduler, options.steps, side, side, guidance, **kind))
    lines = Lines(options.out, bench.setting, bench.environment)
    print(", ".join(f"{name} {value}" for name, value in bench.environment.items()))
    print(bench.setting.key(), flush=True)
    found = profile(bench, lines, options.repeats)
    model, rows, all_trials = CostModel(bench.pipe, found, options.steps), [], []
    for methods in options.methods:
        plans = drawn(bench, methods.split(","), options.plans, options.seed)
        rounds = Rounds(bench, lines, plans, options.rounds)
        rounds.run()
        trials = list(rounds.trials())
        all_trials += trials
        rows += [row(model, methods, trials, n) for n in (0, *options.learn) if n < len(trials)]
    if len(options.methods) > 1:
        rows.append(row(model, "all of these", all_trials, 0))
    show_profile(found)
    print("\n| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
