"""The cost model: how fast a plan will be, from one profile of the baseline and the work that each step keeps."""

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
from hasten.methods import METHODS, check_plan, work
from hasten.plan import Plan
from hasten.predict.grid_cost import GridCosts, cells_of
from hasten.predict.residual import Numbers, Residual
from hasten.predict.space import Space
from hasten.predict.step_cost import StepCosts
from hasten.predict.timed_pairs import error_of, log_ratio, scatter_of
from hasten.records import Trial
from hasten.schedulers import step_numbers

ALONE, TOGETHER = 0.1, 0.2
"""How wrong the pure prediction is expected to be (standard deviations): of a method's own log speedup (relative),
and of what several methods take from each other's log speedup (relative). Each method says how far its mere
presence may be off (``Method.log_speedup_sd``)."""

GUESSED = 1.0
"""The first, of a method that decides while it runs which steps it shortens."""


class _Logs(NamedTuple):
    """Predicted log speedups: of all methods together, and of each alone (None: it is not in the plan)."""

    whole: Numbers
    alone: dict[str, Numbers]


class CostModel:
    """Predicts the latency and speedup of plans of one setting, one call of the pipeline each.

    The prediction is what runs once, plus the parts of the denoiser that run at each step, whatever methods the
    plan combines. ``learn`` corrects it by measured trials: the log speedup gets a weighted sum of a few
    features of the plan (each method's presence and its log speedup alone, and what they take from each other),
    whose weights are 0 before anything is measured.

    ``baseline_s`` is the baseline's latency at this number of steps.
    """

    def __init__(self, pipe: Any, profile: BlockProfile, steps: int) -> None:
        """``steps`` may differ from the profile's.

        Raises:
            InputError: the profile is of another denoiser, or ``steps`` is below 1.
        """
        if steps < 1:
            raise InputError(f"The number of steps is {steps}: allowed is 1 or more.")
        _require_same(pipe, profile)
        self._pipe, self.profile, self.steps = pipe, profile, steps
        self._calls_in = lru_cache(partial(calls_of, pipe.scheduler))
        self._costs = StepCosts(profile)
        self._grid = GridCosts(pipe, steps, self._calls_in, self._costs)
        self._once_s = profile.text_s + profile.decode_s + profile.rest_s
        self._known: dict[Plan, float] = {}
        self.baseline_s = self._pure(Plan())
        spread = ((m.log_speedup_sd, GUESSED if m.adaptive else ALONE) for m in METHODS.all())
        self._residual = Residual([*chain(*spread), TOGETHER])
        self._spaces: WeakKeyDictionary[Space, _Logs] = WeakKeyDictionary()

    def predict(self, plan: Plan) -> float:
        """The plan's latency in seconds.

        Raises:
            InputError: the plan is not legal here (as ``check_plan``).
        """
        return self.baseline_s / self.speedup(plan)

    def speedup(self, plan: Plan) -> float:
        """The plan's speedup. Raises as ``predict``."""
        logs = self._logs(plan)
        return exp(float(logs.whole + self._residual.mean(_features(logs))))

    def deviation(self, plan: Plan) -> float:
        """Standard deviation of the plan's true log speedup around ``log(speedup(plan))``: one that is measured in
        few pairs scatters more."""
        return float(self._residual.deviation(_features(self._logs(plan))))

    def speedups(self, space: Space) -> Numbers:
        """The speedup of every plan of the space, in its grid's shape (an axis a parameter); NaN elsewhere.

        A million plans take a few seconds the first time for a space, and then a few array operations. The
        model keeps 8 bytes a cell while the space lives.
        """
        logs = self._grid_logs(space)
        return np.exp(logs.whole + self._residual.mean(_features(logs)))

    def deviations(self, space: Space) -> Numbers:
        """``deviation`` of every plan, in the shape of ``speedups``."""
        logs = self._grid_logs(space)
        return np.where(np.isnan(logs.whole), np.nan, self._residual.deviation(_features(logs)))

    def learn(self, trials: Iterable[Trial]) -> int:
        """Corrects the predictions by all trials so far; what was learned before is replaced.

        Trials without a latency, of the baseline, or of other steps tell nothing. Returns how many did.
        """
        told = [t for t in trials if t.latency and t.steps == self.steps and Plan.parse(t.plan)]
        logs = [self._logs(Plan.parse(trial.plan)) for trial in told]
        width = len(self._residual.weights)
        features = np.array([_features(found) for found in logs], dtype=np.float64).reshape(-1, width)
        latencies = [trial.latency for trial in told if trial.latency]
        scatter = scatter_of(latencies)
        residuals = [log_ratio(t) - float(found.whole) for t, found in zip(latencies, logs, strict=True)]
        self._residual.fit(features, np.array(residuals), np.array([error_of(t, scatter) for t in latencies]))
        return len(told)

    def _pure(self, plan: Plan) -> float:
        """Latency without correction."""
        if plan not in self._known:
            total, stored = self._once_s, 0
            left = work(plan, self._pipe, self.steps)
            for step, calls in zip(left, self._calls_in(len(left)), strict=True):
                total += calls * self._costs.seconds(step, stored)
                stored = self._costs.stored(step, stored)
            self._known[plan] = total
        return self._known[plan]

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
    """The features of plans, in the order of the residual's weights; they broadcast together."""
    none = np.zeros(())
    found = []
    for name in METHODS.names():
        found += [np.ones(()), logs.alone[name]] if name in logs.alone else [none, none]
    return [*found, logs.whole - sum(logs.alone.values(), none)]


def calls_of(scheduler: Any, steps: int) -> list[int]:
    """How often each of ``steps`` steps calls the denoiser: Heun's twice, but the last once."""
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
