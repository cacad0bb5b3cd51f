"""What a trial costs beside the bare pipeline calls that it needs, and how soon a second study begins its first.

    python benchmarks/trial_cost.py
    python benchmarks/trial_cost.py "deepcache(cache_interval=2)" --times 10 --samples 32 --pairs 3

A trial of a search is timed in turn with the ``pipe(...)`` calls that it makes, and nothing else: as many, of the
same batch sizes and steps, from texts that are encoded already, under ``hasten.accelerate``. The untimed call that
warms the plan up is among them (``without warm-up``: it is not). The first trial of a study, which loads the
scorer and draws the baseline's images, stands apart. Goal: at most 1.1.

Then a study runs its first trial in a new process, and a second study of the same setting, with another method, in
another one: the time from the end of its imports to the begin of its first trial, and to that of its first timed
call. Goal: under 2 s.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from hasten import api
from hasten.measure.bench import Bench
from hasten.measure.contract import METRIC_NAMES, TrialSpec
from hasten.measure.timing import synchronise
from hasten.models import quiet_loading
from hasten.plan import Plan
from hasten.task import Task
from hasten.workflow.opening import model_of, open_bench
from hasten.workflow.place import Place

COST, START_S = 1.1, 2.0
FIRST, SECOND = "deepcache", "tome"


def trial_s(bench: Bench, plan: Plan, pairs: int, samples: int) -> float:
    """Seconds of a trial as a search makes it."""
    start = time.perf_counter()
    found = bench.trial(
        plan, TrialSpec(pairs=pairs, samples=samples, metrics=METRIC_NAMES, enough=lambda *_: False)
    )
    if found.status != "ok":
        raise SystemExit(f"The trial failed: {found.reason}")
    return time.perf_counter() - start


class Bare:
    """The pipeline's own calls."""

    def __init__(self, bench: Bench, samples: int) -> None:
        self.bench = bench
        self.one = self._inputs(range(bench.setting.batch_size))
        self.batches = [self._inputs(batch) for batch in bench.pipeline.batches(range(samples))]

    def _inputs(self, indices: Sequence[int]) -> tuple[int, dict[str, Any]]:
        return len(indices), self.bench.pipeline.text_states("search", indices)

    def _call(self, inputs: tuple[int, dict[str, Any]], **more: Any) -> None:
        import torch

        count, text = inputs
        setting = self.bench.setting
        self.bench.pipe(
            num_inference_steps=setting.steps,
            guidance_scale=setting.guidance_scale,
            height=setting.height,
            width=setting.width,
            generator=[torch.Generator().manual_seed(i) for i in range(count)],
            **text,
            **more,
        )

    def seconds(self, plan: Plan, pairs: int) -> dict[str, float]:
        """Those of a trial (so many of baseline and of plan, and the batches that are scored), and the warm-up."""
        baseline_s = self._timed(lambda: [self._call(self.one) for _ in range(pairs)])
        with api.accelerate(self.bench.pipe, plan, self.bench.setting.steps):
            warm_up_s = self._timed(lambda: self._call(self.one))
            plan_s = self._timed(lambda: [self._call(self.one) for _ in range(pairs)])
            scored_s = self._timed(self._draw)
        return {"calls": baseline_s + plan_s + scored_s, "warm_up": warm_up_s}

    def drawing_s(self) -> float:
        """What the first trial needs beside: the baseline's images, and a call that warms it up."""
        return self._timed(self._draw) + self._timed(lambda: self._call(self.one))

    def _draw(self) -> None:
        for batch in self.batches:
            self._call(batch, output_type="pt")

    def _timed(self, call: Any) -> float:
        synchronise(self.bench.setting.device)
        start = time.perf_counter()
        call()
        synchronise(self.bench.setting.device)
        return time.perf_counter() - start


def compare(bench: Bench, plan: Plan, options: argparse.Namespace) -> dict[str, Any]:
    """The first trial, and then trial and bare calls in turn."""
    bare = Bare(bench, options.samples)
    first = {"trial_s": trial_s(bench, plan, options.pairs, options.samples), "drawing_s": bare.drawing_s()}
    rows = []
    for number in range(options.times):
        how: tuple[Any, ...] = (plan, options.pairs)
        if number % 2 == 0:
            trial = trial_s(bench, *how, options.samples)
            calls = bare.seconds(*how)
        else:
            calls = bare.seconds(*how)
            trial = trial_s(bench, *how, options.samples)
        rows.append({"trial_s": trial, **calls})
    needed = median(row["calls"] + row["warm_up"] for row in rows)
    return {
        "ratio": median(row["trial_s"] / (row["calls"] + row["warm_up"]) for row in rows),
        "ratio_without_warm_up": median(row["trial_s"] / row["calls"] for row in rows),
        "first_ratio": first["trial_s"] / (needed + first["drawing_s"]),
        "first": first,
        "rows": rows,
    }


class Stop(BaseException):
    """Ends a study; nothing in hasten takes it for a failure of the plan."""


def study(method: str, folder: str, options: argparse.Namespace) -> dict[str, float]:
    """Runs in a new process: seconds from the end of its imports to the first trial and to its first timed call.

    The first study ends after that trial, the second one before the call.
    """
    start = time.perf_counter()
    _import_all()
    seconds, begin = {"imports": time.perf_counter() - start}, time.perf_counter()
    trial, latency = Bench.trial, Bench.latency

    def noted_trial(self: Bench, *given: Any, **named: Any) -> None:
        seconds["trial"] = time.perf_counter() - begin
        trial(self, *given, **named)
        raise Stop

    def noted_latency(self: Bench, *given: Any, **named: Any) -> Any:
        seconds["call"] = time.perf_counter() - begin
        if method == SECOND:
            raise Stop
        return latency(self, *given, **named)

    Bench.trial, Bench.latency = noted_trial, noted_latency  # type: ignore[assignment,method-assign]
    task = Task(model="emoji-sd", scheduler=options.scheduler, steps=options.steps, methods=(method,))
    how = {"num_samples": options.samples, "device": options.device}
    try:
        api.search(task, storage=str(Path(folder) / "trials.db"), **how)
    except Stop:
        return seconds
    raise SystemExit(f"The study of {method} ended without a trial.")


def _import_all() -> None:
    """Everything that a search imports sooner or later."""
    import diffusers
    import optuna  # noqa: F401
    import torchmetrics.functional.image  # noqa: F401
    import transformers

    with quiet_loading():
        for module, name in ((diffusers, "StableDiffusionPipeline"), (transformers, "CLIPModel")):
            getattr(module, name)


def studies(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The first study and the second one, each in a process of its own, with a cache folder of their own."""
    spawn = multiprocessing.get_context("spawn")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for name, method in (("first", FIRST), ("second", SECOND)):
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                found[name] = pool.submit(study, method, folder, options).result()
    return found


def told(found: dict[str, Any], options: argparse.Namespace) -> list[str]:
    cost, second = found["cost"], found["studies"]["second"]
    middle = {name: median(row[name] for row in cost["rows"]) for name in ("trial_s", "calls", "warm_up")}
    calls = f"{middle['calls'] + middle['warm_up']:.2f} s"
    return [
        ", ".join(f"{name} {value}" for name, value in found["environment"].items()),
        f"{found['plan']}, {found['setting']}, {options.pairs} pairs, {options.samples} samples",
        "",
        "| figure | measured | goal |",
        "| --- | --- | --- |",
        f"| a trial over its bare calls (median of {options.times}; {middle['trial_s']:.2f} s over {calls}) "
        f"| {cost['ratio']:.3f} | at most {COST} |",
        f"| the same without the plan's warm-up among the calls | {cost['ratio_without_warm_up']:.3f} | |",
        f"| the first trial of a study, which draws the baseline too | {cost['first_ratio']:.3f} | |",
        f"| a second study: imports done to first trial begun | {second['trial']:.2f} s | under {START_S:g} s |",
        f"| … to its first timed call begun | {second['call']:.2f} s | |",
        f"| the first study: imports done to first trial begun | {found['studies']['first']['trial']:.2f} s | |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", nargs="?", default="deepcache(cache_interval=3)")
    parser.add_argument("--scheduler", default="DDIM")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--device")
    parser.add_argument("--times", type=int, default=7, help="trials that are compared with their calls")
    parser.add_argument("--pairs", type=int, default=3, help="timed pairs of a trial, as in a search")
    parser.add_argument("--samples", type=int, default=32, help="images that a trial scores")
    parser.add_argument("--json", action="store_true", help="print figures and raw times as one document")
    options = parser.parse_args()
    if min(options.times, options.pairs) < 1 or options.samples < 8:
        parser.error("--times and --pairs must be at least 1, --samples at least 8")
    task = Task(model="emoji-sd", scheduler=options.scheduler, steps=options.steps)
    place = Place(device=options.device)
    found: dict[str, Any] = {"studies": studies(options)}
    with open_bench(task, model_of(task, place), place) as opened:
        bench = Bench(opened.pipeline, opened.scorer_name)  # one that finds no baseline images on the disk
        plan = bench.pipeline.completed(Plan.parse(options.plan))
        found |= {"environment": bench.environment, "setting": bench.setting.key(), "plan": str(plan)}
        found["cost"] = compare(bench, plan, options)
    print(json.dumps(found, indent=2) if options.json else "\n".join(told(found, options)))


if __name__ == "__main__":
    main()
