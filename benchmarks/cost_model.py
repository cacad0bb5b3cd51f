"""The cost model's predicted speedups beside measured ones, for plans drawn at random from the methods' grids.

    python benchmarks/cost_model.py deepcache tgate tome deepcache,tgate deepcache,tgate,tome --plans 40
    python benchmarks/cost_model.py deepcache,tgate --device cuda --scheduler UniPC --steps 20 --out gpu.jsonl

One profile of the baseline, then each plan interleaved with the baseline. Every measurement is one line of the
file; a stopped run goes on where it was, and only missing plans are measured. The table has, by set of methods,
the median and the 95th percentile of |predicted / measured − 1|: of the pure prediction, and after learning from
the first n plans, on the others. ``inside``: the share of measured ones within the 95% that the model gives.
On an idle machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from math import hypot, inf, log
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hasten.errors import MeasurementError
from hasten.measure.bench import Bench
from hasten.measure.blocks import BlockProfile, profile_blocks
from hasten.measure.environment import environment_key
from hasten.models import find_model
from hasten.plan import Plan
from hasten.records import Latency, Trial
from hasten.search._pairs import error_of, log_ratio, scatter_of
from hasten.search.cost import CostModel
from hasten.search.space import Space
from hasten.task import Setting

COLUMNS = ("methods", "plans", "learned from", "median error", "95th percentile", "inside")
WITHIN = 1.96


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is no file; one that was cut off while it was written is dropped."""
    if not path.exists():
        return []
    *whole, cut = path.read_text(encoding="utf-8").split("\n")
    if cut:
        path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    return [json.loads(line) for line in whole]


class Lines:
    """The measurements of one setting in one environment, a JSON document a line of a file that others share."""

    def __init__(self, path: Path, setting: Setting, environment: dict[str, str]) -> None:
        self._path = path
        self._key = f"{setting.key()} {environment_key(environment)}"
        self.found = {line["name"]: line for line in lines_of(path) if line["key"] == self._key}

    def add(self, name: str, **values: Any) -> None:
        """Keeps a measurement. A name is a plan's text, or ``profile``."""
        self.found[name] = {"key": self._key, "name": name, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.found[name]) + "\n")


def profile(bench: Bench, lines: Lines, repeats: int) -> BlockProfile:
    """The setting's profile, measured where the file has none."""
    if "profile" not in lines.found:
        found = profile_blocks(bench.pipeline, repeats=repeats)
        lines.add("profile", profile=found.model_dump(mode="json"), environment=bench.environment)
    return BlockProfile.model_validate(lines.found["profile"]["profile"])


def drawn(bench: Bench, methods: Sequence[str], count: int, seed: int) -> list[Plan]:
    """Plans of the methods' grid in a seeded order, each once."""
    space = Space(methods, bench.pipe, bench.setting.steps)
    cells = np.argwhere(space.cells)
    order = np.random.default_rng(seed).permutation(len(cells))[:count]
    return [space.plan(tuple(map(int, cells[i]))) for i in order]


def measured(
    bench: Bench, lines: Lines, plans: Sequence[Plan], pairs: int, deadline_s: float = inf
) -> Iterator[Trial]:
    """The plans' trials, as the model learns from them; a plan that fails has none.

    No plan is begun when the clock (``time.monotonic``) has reached ``deadline_s``.
    """
    for number, plan in enumerate(plans):
        if str(plan) not in lines.found:
            if time.monotonic() >= deadline_s:
                continue
            try:
                latency = bench.latency(plan, pairs=pairs, enough=all_pairs)
            except MeasurementError as error:
                lines.add(str(plan), failed=str(error))
            else:
                lines.add(str(plan), latency=latency.model_dump(mode="json"))
        line = lines.found[str(plan)]
        if "failed" in line:
            print(f"{number + 1}/{len(plans)} {plan}: {line['failed']}", file=sys.stderr, flush=True)
            continue
        latency = Latency.model_validate(line["latency"])
        print(f"{number + 1}/{len(plans)} {plan}: {latency.speedup:.3f}x", file=sys.stderr, flush=True)
        yield Trial(plan=str(plan), steps=bench.setting.steps, latency=latency)


def all_pairs(*_: object) -> bool:
    """Never enough: asked after each pair, it spares the baseline a warm-up before each plan."""
    return False


def row(model: CostModel, name: str, trials: Sequence[Trial], count: int) -> tuple[str, ...]:
    """One row of the table: errors on the trials after the first ``count``, which the model learns from."""
    model.learn(trials[:count])
    rest = [(trial.latency, Plan.parse(trial.plan)) for trial in trials[count:] if trial.latency]
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
        f"\nbaseline {found.latency_s * 1e3:.1f} ms: text {found.text_s * 1e3:.1f}, decoding "
        f"{found.decode_s * 1e3:.1f}, rest {found.rest_s * 1e3:.1f}, {found.calls} calls of the denoiser, "
        f"between them {found.between_s * 1e3:.2f}; without guidance {found.half_latency_s * 1e3:.1f} ms"
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
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5, help="of the profile")
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
    model, rows = CostModel(bench.pipe, found, options.steps), []
    for methods in options.methods:
        plans = drawn(bench, methods.split(","), options.plans, options.seed)
        trials = list(measured(bench, lines, plans, options.pairs))
        rows += [row(model, methods, trials, n) for n in (0, *options.learn) if n < len(trials)]
    show_profile(found)
    print("\n| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
