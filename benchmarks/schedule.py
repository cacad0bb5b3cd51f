"""Step schedules beside DeepCache, T-GATE and fewer steps, on emoji-sd: quality drawn anywhere, speed predicted.

    python -m benchmarks.schedule --device cuda --jobs 12 --work hasten-out/schedule

First, what reuse costs at each step is measured on the device, and the baseline's blocks are profiled on the CPU
with one thread. Then plans of several kinds are drawn and scored, on the prompts of searches and on held-out
ones: schedules of measured lists (``kept``: guidance goes on by its last difference, ``dropped``: it ends, at
three intervals of self-attention between full steps; these are ``reuse_guidance`` 1 and 0), schedules of lists
that nobody measured (``unmeasured``), and DeepCache. T-GATE, DeepCache with T-GATE and fewer steps come from the
recorded tables. Last, the fastest plan of each kind within each limit, chosen on the prompts of searches and
looked at on the held-out ones, and the plans nearest to the baseline's images at a given speedup. Every finished
plan is kept: the same command goes on where it was stopped.

``--confirm``, on an idle machine: of each kind and within each limit the plan that is predicted to be the fastest
is timed on the CPU beside the baseline and scored on held-out prompts; where it is not inside, the next one, a few
times; beside it, the plain pipeline with so few steps that it takes as long.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from hasten.errors import InputError
from hasten.files import save_json
from hasten.measure.bench import Bench
from hasten.measure.blocks import BlockProfile, profile_blocks
from hasten.measure.grids import MeasuredGrid, measure_grid
from hasten.methods import METHODS
from hasten.methods.schedule import METHOD
from hasten.plan import Parameters, Plan, Value, step_list
from hasten.predict.cost_model import CostModel

from .schedule_report import METRICS, SPLITS, UNCONFIRMED, Point, confirm, parts, show
from .tables.parts import read
from .tables.plans import Row, pipeline_of, scheduler_and_steps, setting_of
from .tables.recording import Recording
from .tables.scoring import quality
from .tables.tables import load

SETTING = "DDIM 25"
RECORDED = ("tgate", "deepcache,tgate", "fewer-steps")
KINDS = ("kept", "dropped", "deepcache", "unmeasured")


@dataclass(frozen=True)
class Kind(Recording):
    """The plans of one kind to be scored."""

    chosen: tuple[str, ...] = ()

    def rows(self) -> dict[str, dict[str, list[Row]]]:
        steps = scheduler_and_steps(self.settings[0])[1]
        return {self.settings[0]: {self.tables[0]: [Row(plan, steps) for plan in self.chosen]}}


def measured(options: argparse.Namespace) -> tuple[MeasuredGrid, BlockProfile]:
    """What reuse costs and where the time goes; measured where the work folder does not have it."""
    path = options.work / "measured.json"
    if not path.exists():
        bench = Bench.open(setting_of(options.setting, device=options.device))
        found = measure_grid(bench.pipeline, METHOD, samples=options.samples_of_sensitivity, report=said)
        save_json({"sensitivity": found.model_dump(mode="json"), "profile": profiled(options.setting)}, path)
    kept = json.loads(path.read_text(encoding="utf-8"))
    return MeasuredGrid.model_validate(kept["sensitivity"]), BlockProfile.model_validate(kept["profile"])


def profiled(name: str) -> dict[str, object]:
    """Of the baseline on the CPU with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    profile = profile_blocks(Bench.open(setting_of(name)).pipeline, report=said)
    torch.set_num_threads(threads)
    return profile.model_dump(mode="json")


def said(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def schedules(
    grids: Mapping[str, tuple[Value, ...]],
    branch: int,
    every: int = 1,
    reuse: int = 1,
    intervals: Sequence[int] = (1,),
) -> Iterator[str]:
    """Plans of the lists, of those of guidance every so many only, and of the intervals of self-attention."""
    full, guided = (grids[name] for name in ("full_steps", "guided_steps"))
    for one, other, interval in product(full, guided[::every], intervals):
        if (one, other) != (full[0], guided[0]):
            lists: Parameters = {"full_steps": one, "guided_steps": other, "attention_interval": interval}
            yield str(Plan.of({"schedule": {"branch_id": branch, **lists, "reuse_guidance": reuse}}))


def kinds(sensitivity: MeasuredGrid, pipe: object) -> dict[str, tuple[str, ...]]:
    """The plans to score, by kind."""
    steps = sensitivity.steps
    grids = METHOD.measured_grid(sensitivity.found, steps)
    own = {p.name: p.grid for p in METHOD.parameters(pipe, steps)}
    branches = next(
        p for p in METHODS.get("deepcache").parameters(pipe, steps) if p.name == "cache_branch_id"
    ).grid
    cached = [
        {"deepcache": {"cache_branch_id": branch, "cache_interval": interval}}
        for branch, interval in product(branches, range(2, 9))
    ]
    dropped = schedules(grids, 0, reuse=0, intervals=(1, 2, steps))
    return {
        "deepcache": tuple(str(Plan.of(plan)) for plan in cached),
        "kept": (*schedules(grids, 0), *schedules(grids, 1, every=2)),
        "dropped": tuple(plan for plan in dropped if guided_fewer(plan, steps)),
        "unmeasured": tuple(schedules(own, 0, every=4)),
    }


def guided_fewer(plan: str, steps: int) -> bool:
    return Plan.parse(plan).parameters["schedule"]["guided_steps"] != step_list(range(steps))


def score(options: argparse.Namespace, planned: dict[str, tuple[str, ...]]) -> None:
    """Draws and scores the plans of every kind, in a seeded order."""
    for name, plans in planned.items():
        order = np.random.default_rng(0).permutation(len(plans))
        kind = Kind(
            work=options.work / name,
            settings=(options.setting,),
            tables=(name,),
            device=options.device,
            dtype=options.dtype,
            samples=options.samples,
            seed=0,
            plans=len(plans),
            timed=0,
            pairs=0,
            batch_size=1,
            jobs=options.jobs,
            share=(1, 1),
            limit_s=options.limit_s,
            command="python -m benchmarks.schedule",
            chosen=tuple(plans[i] for i in order),
        )
        if code := quality(kind):
            sys.exit(code)


def scored(options: argparse.Namespace, name: str, speedup: Callable[[str], float]) -> list[Point]:
    """The scored plans of a kind."""
    folder = Kind.folder(argparse.Namespace(work=options.work / name), options.setting)  # type: ignore[arg-type]
    headers, lines = read(folder, "quality")
    half = options.samples // 2
    columns = {"search": slice(0, half), "held-out": slice(half, None)}
    found = []
    for row, line in lines.items():
        if "scores" not in line:
            said(f"{row.plan}: {line['failed']}")
            continue
        losses = {}
        for metric, split in product(METRICS, SPLITS):
            base = float(np.mean(headers[0]["baseline"][metric][columns[split]]))
            losses[metric, split] = 1 - float(np.mean(line["scores"][metric][columns[split]])) / base
        found.append(Point(row.plan, speedup(row.plan), losses))
    return found


def recorded(options: argparse.Namespace, name: str, speedup: Callable[[Row], float]) -> list[Point]:
    """The plans of a recorded table."""
    try:
        table = load(options.setting, name)
    except InputError as error:
        said(str(error))
        return []
    losses = {(metric, split): table.losses(metric, split) for metric, split in product(METRICS, SPLITS)}
    names = [row.plan if name != "fewer-steps" else f"{row.steps} steps" for row in table.rows]
    return [
        Point(names[i], speedup(row), {key: float(found[i]) for key, found in losses.items()})
        for i, row in enumerate(table.rows)
        if np.isfinite(losses["clip_score", "search"][i])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.schedule",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--setting", default=SETTING)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="default: float16 on a GPU, float32 on the CPU")
    parser.add_argument("--samples", type=int, default=64, help="prompts, half search, half held out")
    parser.add_argument("--samples-of-sensitivity", type=int, default=4)
    parser.add_argument("--only", nargs="+", default=KINDS, choices=KINDS, help="kinds of plans to score")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score; 0: what is there is shown")
    parser.add_argument("--limit-s", type=float, help="of each kind: begin no plan after so many seconds")
    parser.add_argument("--confirm", action="store_true", help="measure the best plans live, on the CPU")
    parser.add_argument("--work", type=Path, default=Path("hasten-out/schedule"))
    options = parser.parse_args()
    options.dtype = options.dtype or ("float32" if options.device == "cpu" else "float16")
    options.work.mkdir(parents=True, exist_ok=True)
    sensitivity, profile = measured(options)
    pipe, steps = pipeline_of(options.setting), sensitivity.steps
    model = CostModel(pipe, profile, steps)
    planned = {name: plans for name, plans in kinds(sensitivity, pipe).items() if name in options.only}
    said(", ".join(f"{name} {len(plans)} plans" for name, plans in planned.items()))
    if options.jobs:
        score(options, planned)

    def speedup(plan: str) -> float:
        return model.speedup(Plan.parse(plan))

    def fewer(row: Row) -> float:
        return model.baseline_s / CostModel(pipe, profile, row.steps).baseline_s

    timed = {name: fewer if name == "fewer-steps" else lambda row: speedup(row.plan) for name in RECORDED}
    points = {name: recorded(options, name, timed[name]) for name in RECORDED}
    for name in planned:
        found = scored(options, name, speedup)
        points |= parts(found, steps) if name == "kept" else {name: found}
    show({name: found for name, found in points.items() if found})
    if options.confirm:
        confirm(options, {name: found for name, found in points.items() if found and name not in UNCONFIRMED})


if __name__ == "__main__":
    main()
