"""Many plans beside one baseline, in rounds: each round calls every plan once, and the baseline between them.

The calls of a plan are spread over the whole measurement, so that all plans see the same machine, and a baseline
serves the few plans that are called next to it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from hasten.errors import MeasurementError
from hasten.measure.bench import Bench
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.profile import side_of
from hasten.measure.stepwise import cut
from hasten.measure.timing import take_turns
from hasten.plan import Plan
from hasten.records import Latency, Trial

from .lines import Lines
from .steps import pieces, ratio

GROUP = 5
"""Plans beside each call of the baseline."""
WARMING = 3
"""Plans that are called once before: the kernels of every method are loaded then."""


@dataclass(frozen=True)
class Rounds:
    """``count`` calls of each of the plans. Every call is one of the lines; none begins when ``time.monotonic()``
    has reached ``deadline_s``."""

    bench: Bench
    lines: Lines
    plans: Sequence[Plan]
    count: int
    deadline_s: float = inf

    def run(self) -> None:
        """Makes the calls that the file does not have, in an order drawn for each round."""
        for plan in (Plan(), *self.plans[:WARMING]):
            self._once(plan, f"warm-up {plan}", "")
        for number in range(self.count):
            print(f"round {number + 1} of {self.count}", file=sys.stderr, flush=True)
            order = [self.plans[i] for i in np.random.default_rng(number).permutation(len(self.plans))]
            for start in range(0, len(order), GROUP):
                plans = order[start : start + GROUP]
                # Named by its plans: others in the same file must not take its baseline for their own.
                group = f"{number} {' '.join(map(str, plans))}"
                self._once(Plan(), f"beside {group}", group)
                for plan in plans:
                    self._once(plan, f"call {number} {plan}", group)

    def _once(self, plan: Plan, name: str, group: str) -> None:
        if name in self.lines.found or time.monotonic() >= self.deadline_s:
            return
        setting, pipeline = self.bench.setting, self.bench.pipeline
        side = side_of(pipeline, plan, setting.batch_size)
        try:
            with device_lock(setting.device), plan_failures(), cut([pipeline.denoiser]) as pieces_s:
                for _ in take_turns([side], 1, setting.device, pieces_s):
                    pass
        except MeasurementError as error:
            print(f"failed: {error}", file=sys.stderr, flush=True)
            self.lines.add(name, failed=str(error))
        else:
            self.lines.add(name, group=group, pieces=pieces(side)[0])

    def trials(self) -> Iterator[Trial]:
        """What the calls tell of each plan that did not fail, as a cost model learns from it."""
        made = {plan: self._calls_of(plan) for plan in self.plans}
        groups = dict.fromkeys(line["group"] for calls in made.values() for line in calls)
        baselines = {group: self.lines.found[f"beside {group}"]["pieces"] for group in groups}
        for plan, calls in made.items():
            if calls:
                yield Trial(plan=str(plan), steps=self.bench.setting.steps, latency=_latency(calls, baselines))

    def _calls_of(self, plan: Plan) -> list[dict[str, Any]]:
        """The plan's lines; those that failed, or whose baseline did, are left out."""
        found = self.lines.found
        lines = (found.get(f"call {number} {plan}", {}) for number in range(self.count))
        made = (line for line in lines if "pieces" in line)
        return [line for line in made if "pieces" in found.get(f"beside {line['group']}", {})]


def _latency(calls: Sequence[dict[str, Any]], baselines: dict[str, list[float]]) -> Latency:
    """The speedup is that of all calls of the baseline and the plan's; each pair is of one group."""
    own = [line["pieces"] for line in calls]
    speedup, interval = ratio(list(baselines.values()), own)
    times = tuple(map(sum, own))
    typical_s = float(np.median(times))
    return Latency(
        speedup=speedup,
        interval=interval,
        baseline_s=speedup * typical_s,
        plan_s=typical_s,
        baseline_times_s=tuple(sum(baselines[line["group"]]) for line in calls),
        times_s=times,
    )
