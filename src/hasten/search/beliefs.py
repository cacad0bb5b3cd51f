"""What a search believes about plans: speeds from predictions and few timed pairs, losses from measured plans."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hasten.plan import Plan
from hasten.predict.losses import Quality
from hasten.predict.residual import Numbers
from hasten.predict.space import Index
from hasten.predict.speeds import Predictor
from hasten.predict.timed_pairs import error_of, log_ratio, scatter_of
from hasten.records import Latency, Trial
from hasten.search.believed import BelievedSpeed, Speed
from hasten.search.ledger import Ledger

CONSIDERED = 3000
"""The most plans of a space that are looked at closely. Of more, a selection is taken evenly over their speeds."""
GAIN = 0.005
"""The least gain in log speedup that counts as better."""
VERDICT_GAIN = 0.003
"""The least expected gain in log speedup for which another plan is confirmed when an answer is in hand. A verdict
takes as long as several trials."""


class Beliefs:
    """Combines predictions and the few timed pairs of plans, weighted by their certainty.

    A search times few pairs, so that the fastest of many noisy plans is also the luckiest. If its times were taken
    as they are, nothing would look faster again.
    """

    def __init__(self, ledger: Ledger, predictor: Predictor, similar_trials: Sequence[Trial]) -> None:
        """``similar_trials`` are trials of the plans with other schedulers and numbers of steps."""
        self._ledger, self._predictor, self._similar_trials = ledger, predictor, similar_trials
        self.learn()

    def learn(self) -> None:
        """Corrects the predictions by all trials so far, and makes the ledger use them."""
        ledger, predictor = self._ledger, self._predictor
        trials = [*ledger.trials.values(), *ledger.verdicts.values()]
        predictor.learn(trials)
        self.speedups = [predictor.speedups(space) for space in ledger.spaces]
        self.deviations = [predictor.deviations(space) for space in ledger.spaces]
        self._scatter = scatter_of(t.latency for t in trials if t.latency)
        self.quality = Quality(ledger.goal.limits, ledger.spaces, self.speedups)
        self.quality.learn(trials, self._similar_trials)
        ledger.trust(self)

    def inside(self, plan: Plan) -> float:
        """Returns the probability that the plan keeps all limits; 0 for a plan that is in no space."""
        number = next((i for i, space in enumerate(self._ledger.spaces) if space.holds(plan)), None)
        if number is None:
            return 0.0
        at = self._ledger.spaces[number].index(plan)
        return float(self._probably(number, np.array([at], np.int64))[0])

    def promising(self, than: Trial | None = None) -> Plan | None:
        """Returns what the ledger's ``Beliefs.promising`` describes."""
        decided = self._decided()
        found, worth = None, VERDICT_GAIN if than else 0.0
        for number, space in enumerate(self._ledger.spaces):
            cells, hopes = self._hopes(number, than.speedup if than else 1.0)
            for row in np.argsort(hopes)[::-1]:
                if hopes[row] <= worth:
                    break
                if (plan := space.plan(tuple(map(int, cells[row])))) not in decided:
                    found, worth = plan, float(hopes[row])
        return found

    def _hopes(self, number: int, least: float) -> tuple[npt.NDArray[np.int64], Numbers]:
        """Returns the cells of a space's plans that are faster than ``least``, and the expected gain of each over
        it."""
        space, gains = (
            self._ledger.spaces[number],
            np.log(np.nan_to_num(self.speedups[number], nan=1.0) / least),
        )
        cells = np.argwhere(space.cells & (gains > GAIN))
        gained = gains[tuple(cells.T)]
        if not len(cells):
            return cells, gained
        cells = evenly(cells, gained)
        # The best of several verdicts is the luckiest, so that each verdict raises the bar for the next plan.
        return cells, self._probably(number, cells) ** (1 + len(self._decided())) * gains[tuple(cells.T)]

    def _decided(self) -> set[Plan]:
        """Returns the plans that held-out prompts have decided."""
        return self._ledger.rejected.keys() | self._ledger.accepted.keys()

    def _probably(self, number: int, cells: npt.NDArray[np.int64]) -> Numbers:
        speedups = self.speedups[number][tuple(cells.T)]
        return self.quality.inside(self._ledger.spaces[number], cells, speedups)

    def speed(self, plan: Plan, latency: Latency) -> Speed:
        """Returns the believed speed, or the measured one for a plan that is in no space."""
        found = next((i for i, space in enumerate(self._ledger.spaces) if space.holds(plan)), None)
        if found is None:
            return latency
        mean, _ = self.log_speedup(found, self._ledger.spaces[found].index(plan), latency)
        return BelievedSpeed(speedup=math.exp(mean), plan_s=latency.baseline_s / math.exp(mean))

    def log_speedup(self, space: int, at: Index, latency: Latency) -> tuple[float, float]:
        """Returns mean and standard deviation of the log speedup at cell ``at`` of a space, from the prediction
        and the pairs."""
        said, sure = math.log(self.speedups[space][at]), self.deviations[space][at] ** -2
        timed, seen = log_ratio(latency), error_of(latency, self._scatter) ** -2
        return (said * sure + timed * seen) / (sure + seen), float((sure + seen) ** -0.5)


def evenly(rows: npt.NDArray[np.int64], speeds: Numbers) -> npt.NDArray[np.int64]:
    """Returns at most ``CONSIDERED`` of the rows, evenly over their speeds."""
    if len(rows) <= CONSIDERED:
        return rows
    return rows[np.argsort(speeds, kind="stable")[:: math.ceil(len(rows) / CONSIDERED)]]
