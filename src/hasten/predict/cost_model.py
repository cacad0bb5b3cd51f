"""The cost model: predicts the speed of plans from one profile of the baseline and the work that each step
keeps."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import chain
from math import exp
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from hasten.denoisers import denoiser_of
from hasten.errors import InputError
from hasten.measure.blocks import BlockProfile
from hasten.methods import METHODS, check_plan, scheduler_of_plan, work
from hasten.plan import Plan
from hasten.predict.grid_cost import GridCosts, cells_of
from hasten.predict.residual import Numbers, Residual
from hasten.predict.space import Space
from hasten.predict.step_cost import StepCosts
from hasten.predict.timed_pairs import error_of, log_ratio, scatter_of
from hasten.records import Trial
from hasten.schedulers import find_scheduler, step_numbers

ALONE, TOGETHER = 0.1, 0.2
"""Expected errors of the uncorrected prediction, as relative standard deviations: of a method's log speedup alone,
and of what several methods take from each other's log speedup. Each method also has an absolute one,
``Method.log_speedup_sd``."""

GUESSED = 1.0
"""What ALONE is for a method that decides during the run which steps it shortens."""


class _Logs(NamedTuple):
    """Predicted log speedups of all methods together, and of each method of the plan alone."""

    whole: Numbers
    alone: dict[str, Numbers]


class CostModel:
    """Predicts the latency and speedup of one setting's plans, for a call of the pipeline.

    The prediction is the sum of what runs once and of the denoiser's parts that run at each step, whatever methods
    the plan combines. ``learn`` corrects it by measured trials: a weighted sum of a few features is added to the
    log speedup, with weights that are 0 before anything is measured. The features are, for each method, whether
    the plan has it and its log speedup alone, and what the methods take from each other.

    Args:
        pipe: the pipeline, without any plan.
        profile: the profile of its baseline.
        steps: the number of steps, which may differ from the profile's.

    Attributes:
        baseline_s: the baseline's predicted seconds a call at this number of steps.

    Raises:
        InputError: the profile is of another denoiser, or ``steps`` is below 1.

    Example:
        >>> model = CostModel(pipe, profile_blocks(measured_pipeline), steps=50)
        >>> model.speedup(Plan.parse("deepcache(cache_interval=3)"))
    """

    def __init__(self, pipe: Any, profile: BlockProfile, steps: int) -> None:
        if steps < 1:
            raise InputError(f"The number of steps is {steps}: allowed is 1 or more.")
        _require_same(pipe, profile)
        self._pipe, self.profile, self.steps = pipe, profile, steps
        self._calls_in = lru_cache(partial(_calls_in, pipe))
        self._costs = StepCosts(profile)
        self._grid = GridCosts(pipe, steps, self._calls_in, self._costs)
        self._once_s = profile.text_s + profile.decode_s + profile.rest_s
        self._uncorrected: dict[Plan, float] = {}
        self.baseline_s = self._pure(Plan())
        spread = ((m.log_speedup_sd, GUESSED if m.adaptive else ALONE) for m in METHODS.all())
        self._residual = Residual([*chain(*spread), TOGETHER])
        self._spaces: WeakKeyDictionary[Space, _Logs] = WeakKeyDictionary()

    def predict(self, plan: Plan) -> float:
        """Returns the plan's latency in seconds. Raises what ``check_plan`` raises for an illegal plan."""
        return self.baseline_s / self.speedup(plan)

    def speedup(self, plan: Plan) -> float:
        """Returns the plan's speedup. Raises what ``check_plan`` raises for an illegal plan."""
        logs = self._logs(plan)
        return exp(float(logs.whole + self._residual.mean(_features(logs))))

    def deviation(self, plan: Plan) -> float:
        """Returns the standard deviation of the plan's true log speedup around ``log(speedup(plan))``.

        A speedup that is measured in few pairs scatters more.
        """
        return float(self._residual.deviation(_features(self._logs(plan))))

    def speedups(self, space: Space) -> Numbers:
        """Returns the speedup of every plan of the space in the shape of its grid, NaN where there is no plan.

        A million plans take a few seconds the first time for a space, and then a few array operations. The model
        keeps 8 bytes a cell while the space exists.
        """
        logs = self._grid_logs(space)
        return np.exp(logs.whole + self._residual.mean(_features(logs)))

    def deviations(self, space: Space) -> Numbers:
        """Returns ``deviation`` for every plan, in the shape of ``speedups``."""
        logs = self._grid_logs(space)
        return np.where(np.isnan(logs.whole), np.nan, self._residual.deviation(_features(logs)))

    def learn(self, trials: Iterable[Trial]) -> int:
        """Corrects the predictions by all trials so far, which replace those of an earlier call.

        Trials without a latency, of the baseline, or with another number of steps are ignored. Returns the number
        of the others.
        """
        told = [t for t in trials if t.latency and t.steps == self.steps and t.plan]
        logs = [self._logs(trial.plan) for trial in told]
        width = len(self._residual.weights)
        features = np.array([_features(found) for found in logs], dtype=np.float64).reshape(-1, width)
        latencies = [trial.latency for trial in told if trial.latency]
        scatter = scatter_of(latencies)
        residuals = [log_ratio(t) - float(found.whole) for t, found in zip(latencies, logs, strict=True)]
        self._residual.fit(features, np.array(residuals), np.array([error_of(t, scatter) for t in latencies]))
        return len(told)

    def _pure(self, plan: Plan) -> float:
        """Returns the uncorrected latency in seconds."""
        if plan not in self._uncorrected:
            total, stored = self._once_s, 0
            steps = work(plan, self._pipe, self.steps)
            for step, calls in zip(steps, self._calls_in(len(steps), scheduler_of_plan(plan)), strict=True):
                total += calls * self._costs.seconds(step, stored)
                stored = self._costs.stored(step, stored)
            self._uncorrected[plan] = total
        return self._uncorrected[plan]

    def _logs(self, plan: Plan) -> _Logs:
        plan = check_plan(plan, self._pipe, self.steps)
        alone = {name: Plan.of({name: given}) for name, given in plan.parameters.items()}
        return _Logs(self._log(self._pure(plan)), {name: self._log(self._pure(p)) for name, p in alone.items()})

    def _grid_logs(self, space: Space) -> _Logs:
        if space not in self._spaces:
            self._spaces[space] = self._new_logs(space)
        return self._spaces[space]

    def _new_logs(self, space: Space) -> _Logs:
        cells = cells_of(space)
        whole = self._log(self._once_s + self._grid.seconds(cells)).reshape(space.cells.shape)
        alone = {}
        for part in cells:
            shape = [len(a.values) if a.method == part.method.name else 1 for a in space.axes]
            alone[part.method.name] = self._log(self._once_s + self._grid.seconds([part])).reshape(shape)
        return _Logs(np.where(space.cells, whole, np.nan), alone)

    def _log(self, seconds: Numbers | float) -> Numbers:
        return np.asarray(np.log(self.baseline_s / seconds))


def _features(logs: _Logs) -> list[Numbers]:
    """Returns the features of plans in the order of the residual's weights, as arrays that broadcast together."""
    none = np.zeros(())
    found = []
    for name in METHODS.names():
        found += [np.ones(()), logs.alone[name]] if name in logs.alone else [none, none]
    return [*found, logs.whole - sum(logs.alone.values(), none)]


def _calls_in(pipe: Any, steps: int, scheduler: str) -> list[int]:
    """Returns ``calls_of`` the pipeline's own scheduler or, where a name is given, of that one."""
    own = pipe.scheduler
    return calls_of(find_scheduler(scheduler).build(own.config) if scheduler else own, steps)


def calls_of(scheduler: Any, steps: int) -> list[int]:
    """Returns how often each of ``steps`` steps calls the denoiser: twice with Heun, but once at the last step."""
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps)
    counts = Counter(step_numbers(scheduler))
    return [counts[number] for number in range(steps)]


def _require_same(pipe: Any, profile: BlockProfile) -> None:
    names = {name for name, _ in denoiser_of(pipe).named_modules()}
    if strange := sorted({part.module for part in profile.parts} - names):
        raise InputError(
            f"The profile is of another denoiser: this one has no {strange[0]}. Profile this pipeline."
        )
