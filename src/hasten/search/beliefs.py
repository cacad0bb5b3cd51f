"""What a search believes of plans: speeds by prediction and by few timed pairs, losses by what was measured."""

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
"""Of the open plans of a space so many, the most promising by speed alone, are looked at closely."""
GAIN = 0.005
"""A log speedup that is better by less is no better."""
VERDICT_GAIN = 0.003
"""With an answer in hand another plan is confirmed for such a log speedup, on average: a verdict takes as long as
several trials."""


class Beliefs:
    """What is believed of a plan's speed: the prediction and the few timed pairs, each as far as it is sure.

    A search times few pairs, and the fastest of many noisy plans is the luckiest one: taken at its word, nothing
    would ever look faster again.
    """

    def __init__(self, ledger: Ledger, predictor: Predictor, elsewhere: Sequence[Trial]) -> None:
        """``elsewhere``: trials of the plans with other schedulers and steps."""
        self._ledger, self._predictor, self._elsewhere = ledger, predictor, elsewhere
        self.learn()

    def learn(self) -> None:
        """Corrects the predictions by all trials so far; the ledger goes by them."""
        ledger, predictor = self._ledger, self._predictor
        self.known = [*ledger.trials.values(), *ledger.verdicts.values()]
        predictor.learn(self.known)
        self.speedups = [predictor.speedups(space) for space in ledger.spaces]
        self.deviations = [predictor.deviations(space) for space in ledger.spaces]
        self._scatter = scatter_of(t.latency for t in self.known if t.latency)
        self.quality = Quality(ledger.goal.limits, ledger.spaces, self.speedups)
        self.quality.learn(self.known, self._elsewhere)
        ledger.trust(self)

    def inside(self, plan: Plan) -> float:
        """The probability that the plan keeps all limits; 0 of one that is in no space."""
        number = next((i for i, space in enumerate(self._ledger.spaces) if space.holds(plan)), None)
        if number is None:
            return 0.0
        at = self._ledger.spaces[number].index(plan)
        return float(self._probably(number, np.array([at], np.int64))[0])

    def promising(self, than: Trial | None = None) -> Plan | None:
        """As ``Beliefs.promising`` of the ledger."""
        known = self._known()
        found, worth = None, VERDICT_GAIN if than else 0.0
        for number, space in enumerate(self._ledger.spaces):
            cells, hopes = self._hopes(number, than.speedup if than else 1.0)
            for row in np.argsort(hopes)[::-1]:
                if hopes[row] <= worth:
                    break
                if str(plan := space.plan(tuple(map(int, cells[row])))) not in known:
                    found, worth = plan, float(hopes[row])
        return found

    def _hopes(self, number: int, least: float) -> tuple[npt.NDArray[np.int64], Numbers]:
        """Of a space's plans that are faster than that the cells, and what each gains over it on average."""
        space, gains = (
            self._ledger.spaces[number],
            np.log(np.nan_to_num(self.speedups[number], nan=1.0) / least),
        )
        cells = np.argwhere(space.cells & (gains > GAIN))
        gained = gains[tuple(cells.T)]
        if not len(cells):
            return cells, gained
        cells = evenly(cells, gained)
        # Of several verdicts the best is the luckiest one: the more there were, the surer the next plan must be.
        return cells, self._probably(number, cells) ** (1 + len(self._known())) * gains[tuple(cells.T)]

    def _known(self) -> set[str]:
        """The plans that held-out prompts decided on."""
        return self._ledger.rejected.keys() | self._ledger.accepted.keys()

    def _probably(self, number: int, cells: npt.NDArray[np.int64]) -> Numbers:
        speedups = self.speedups[number][tuple(cells.T)]
        return self.quality.inside(self._ledger.spaces[number], cells, speedups)

    def speed(self, plan: Plan, latency: Latency) -> Speed:
        """The believed speed; what was measured of a plan that is in no space."""
        found = next((i for i, space in enumerate(self._ledger.spaces) if space.holds(plan)), None)
        if found is None:
            return latency
        mean, _ = self.log_speedup(found, self._ledger.spaces[found].index(plan), latency)
        return BelievedSpeed(speedup=math.exp(mean), plan_s=latency.baseline_s / math.exp(mean))

    def log_speedup(self, space: int, at: Index, latency: Latency) -> tuple[float, float]:
        """Mean and standard deviation, by the prediction and the pairs, of the plan of a cell of a space."""
        said, sure = math.log(self.speedups[space][at]), self.deviations[space][at] ** -2
        timed, seen = log_ratio(latency), error_of(latency, self._scatter) ** -2
        return (said * sure + timed * seen) / (sure + seen), float((sure + seen) ** -0.5)


def evenly(rows: npt.NDArray[np.int64], speeds: Numbers) -> npt.NDArray[np.int64]:
    """At most so many as are considered, evenly over their speeds."""
    if len(rows) <= CONSIDERED:
        return rows
    return rows[np.argsort(speeds, kind="stable")[:: math.ceil(len(rows) / CONSIDERED)]]
