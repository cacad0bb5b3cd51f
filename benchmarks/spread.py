"""How much the speedup of one plan spreads while something else runs: hasten's protocol beside the naive one.

    python benchmarks/spread.py --out spread.jsonl
    python benchmarks/spread.py "deepcache(cache_interval=2)+tome(ratio=0.5)" --times 20 --load 1 --json

The plan is measured many times in each of two ways, while ``--load`` processes spin on a core each:

- hasten: baseline and plan in turn, as for a verdict: ``--pairs`` pairs and up to four times as many, until the
  speedup is known to 2%;
- naive: all calls of the baseline, then all of the plan, in one pass; as many of each as hasten's latest took.

Both begin with an untimed call and take the ratio of the medians (of the naive times that of the means is printed
as well). The two take turns in going first. Every measurement is kept in a file, and the same command goes on from
there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

from hasten.errors import HastenError, InputError
from hasten.files import save
from hasten.measure.bench import Bench
from hasten.measure.environment import NOT_COMPARED
from hasten.measure.lock import device_lock
from hasten.measure.profile import side_of
from hasten.measure.stats import relative_spread
from hasten.measure.timing import MOST_TIMES, UntilKnown, take_turns
from hasten.plan import Plan
from hasten.task import Task
from hasten.workflow.opening import model_of, open_bench
from hasten.workflow.place import Place

Row = dict[str, Any]
GOAL = 0.03
PROTOCOLS = ("hasten", "naive")
SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that do nothing but use a core; they end with this one, however it ends."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def hasten(bench: Bench, plan: Plan, pairs: int) -> Row:
    """As the verdict times a plan."""
    found = bench.latency(plan, pairs=pairs * MOST_TIMES, enough=UntilKnown(pairs))
    return {"baseline_times_s": found.baseline_times_s, "times_s": found.times_s, "warnings": found.warnings}


def naive(bench: Bench, plan: Plan, calls: int) -> Row:
    """One after the other."""
    sides = [side_of(bench.pipeline, one, bench.setting.batch_size) for one in (Plan(), plan)]
    with device_lock(bench.setting.device):
        for side in sides:
            side.warm_up()
            for _ in take_turns([side], calls, bench.setting.device, dict):
                pass
    return {"baseline_times_s": sides[0].times, "times_s": sides[1].times, "warnings": []}


class Kept:
    """The file of measurements: what is measured in its first line, then one a line."""

    def __init__(self, path: Path, asked: Row) -> None:
        self.path, self.rows = path, list[Row]()
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be half written
        if whole and whole[0] != asked:
            differ = ", ".join(name for name in asked if whole[0].get(name) != asked[name])
            raise InputError(f"{path} holds other measurements (other {differ}): name another file with --out.")
        self.rows = whole[1:]
        save("".join(json.dumps(row) + "\n" for row in [asked, *self.rows]), path)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def speedups(self, protocol: str, middle: Any = median) -> list[float]:
        rows = [row for row in self.rows if row["protocol"] == protocol]
        return [middle(row["baseline_times_s"]) / middle(row["times_s"]) for row in rows]


def measure(bench: Bench, plan: Plan, kept: Kept, options: argparse.Namespace) -> None:
    """What is still missing of the measurements, in turn."""
    done = {(row["number"], row["protocol"]) for row in kept.rows}
    for number in range(options.times):
        for protocol in PROTOCOLS if number % 2 == 0 else reversed(PROTOCOLS):
            if (number, protocol) in done:
                continue
            start = time.perf_counter()
            if protocol == "hasten":
                found = hasten(bench, plan, options.pairs)
            else:
                latest = [row for row in kept.rows if row["protocol"] == "hasten"][-1]
                found = naive(bench, plan, len(latest["times_s"]))
            kept.add({"number": number, "protocol": protocol, **found, "seconds": time.perf_counter() - start})
            said = f"{number + 1}/{options.times} {protocol}: {kept.speedups(protocol)[-1]:.3f}x"
            print(f"{said}, {len(found['times_s'])} calls of each", file=sys.stderr, flush=True)


def figures(speedups: Sequence[float]) -> Row:
    """Median, interquartile range over it, and the extremes."""
    found = {"median": median(speedups), "spread": relative_spread(speedups)}
    return {**found, "lowest": min(speedups), "highest": max(speedups), "speedups": list(speedups)}


def summary(kept: Kept) -> dict[str, Row]:
    return {
        "hasten": figures(kept.speedups("hasten")),
        "naive": figures(kept.speedups("naive")),
        "naive, means": figures(kept.speedups("naive", mean)),
    }


def table(found: dict[str, Row], asked: Row) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in asked["environment"].items())
    yield f"{asked['plan']}, {asked['setting']}, load on {asked['load']} core(s)"
    yield ""
    yield "| protocol | measurements | median speedup | interquartile range / median | lowest to highest |"
    yield "| --- | --- | --- | --- | --- |"
    for name, row in found.items():
        cells = (name, len(row["speedups"]), f"{row['median']:.3f}x", f"{row['spread']:.1%}")
        yield "| " + " | ".join(map(str, cells)) + f" | {row['lowest']:.3f} to {row['highest']:.3f} |"
    held = "reached" if found["hasten"]["spread"] <= GOAL else "missed"
    yield f"\nGoal: at most {GOAL:.0%} for hasten: {held}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", nargs="?", default="deepcache(cache_interval=3)")
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--scheduler", default="DDIM")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--device")
    parser.add_argument("--times", type=int, default=20, help="measurements by each protocol")
    parser.add_argument("--load", type=int, default=1, help="processes that spin meanwhile")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("spread.jsonl"), help="where measurements are kept")
    parser.add_argument("--json", action="store_true", help="print figures and raw values as one document")
    options = parser.parse_args()
    if min(options.times, options.pairs) < 1 or options.load < 0:
        parser.error("--times and --pairs must be at least 1, --load at least 0")
    task = Task(model=options.model, scheduler=options.scheduler, steps=options.steps)
    place = Place(device=options.device)
    try:
        with open_bench(task, model_of(task, place), place) as bench, load(options.load):
            plan = bench.pipeline.completed(Plan.parse(options.plan))
            machine = {name: value for name, value in bench.environment.items() if name not in NOT_COMPARED}
            asked = {"plan": str(plan), "setting": bench.setting.key(), "environment": machine}
            asked |= {"load": options.load, "pairs": options.pairs}
            kept = Kept(options.out, asked)
            measure(bench, plan, kept, options)
    except HastenError as error:
        parser.exit(error.exit_code, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"Interrupted. The same command goes on from what {options.out} holds.\n")
    found = summary(kept)
    if options.json:
        print(json.dumps({**asked, "figures": found, "measurements": kept.rows}, indent=2))
    else:
        print("\n".join(table(found, asked)))


if __name__ == "__main__":
    main()
