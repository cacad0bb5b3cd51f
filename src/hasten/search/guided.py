"""The guided strategy: measures the most promising plan, by predicted speed and learned quality."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hasten.plan import Plan
from hasten.predict.losses import Quality, normal_cdf, normal_pdf
from hasten.predict.residual import Numbers
from hasten.predict.space import Index, Space
from hasten.predict.speeds import MAX_DEVIATIONS
from hasten.search.beliefs import GAIN, Beliefs, evenly
from hasten.search.believed import Believed
from hasten.search.judge import Goal
from hasten.search.ledger import Ledger
from hasten.search.session import Session

EXPECTED_GAIN = 0.002
"""The expected gain in log speedup below which the search for the fastest plan ends."""
NEGLIGIBLE = 0.002
"""The probability of meeting a target below which a plan is not tried."""
PATIENCE, LONG_PATIENCE = 24, 36
"""The numbers of consecutive trials without a better plan that end the search. The second applies before any plan
was found, and where there are several sets of methods, whose losses are learned separately."""
LIKELY, ALIKE = 0.2, 0.9
"""The chance to meet a target that the likeliest plan must have for milder plans to be preferred, and the share of
that chance from which they count as equally likely."""
NEAR, CLOSE = 0.05, 0.02
"""Distances from a target in log speedup: the scale by which the search for the closest plan prefers nearer ones,
and the distance at which it ends."""


@dataclass(frozen=True)
class Candidates:
    """Plans of a space that may be measured: their cells, (n, axes), the expected means and deviations of their
    log speedups, and the probabilities that they keep the limits, (n,) each."""

    space: Space
    cells: npt.NDArray[np.int64]
    means: Numbers
    deviations: Numbers
    inside: Numbers

    def plan(self, row: int) -> Plan:
        return self.space.plan(tuple(map(int, self.cells[row])))


def guided(session: Session, patience: int | None = None) -> None:
    """Measures the plan with the greatest expected gain, one after another, until no plan is likely to gain
    anything.

    The gain of a plan is what the goal asks for (a greater speedup, a target met, a smaller loss) times the
    probability that it keeps the limits: constrained expected improvement (Gardner et al., Bayesian Optimization
    with Inequality Constraints, ICML 2014). The cost model predicts speeds, so that only quality has to be
    learned.

    A plan is scored on a few prompts first, and on more where these leave it open and it promises more than any
    other plan; the search does not end before the best plan is scored enough to be decided. A plan that was too
    slow in few pairs is timed in more likewise. The strategy uses all trials at hand and no random numbers, so
    that a resumed search takes the same way. Where several sets of methods are in question, each plan is scored in
    full at once, because with few prompts the losses of one set would be mistaken for those of another.

    ``patience`` is the number of trials without a better plan that end it; None for the usual number.
    """
    ledger = session.ledger
    beliefs = Beliefs(ledger, session.predictor, session.trials_of_similar_settings)
    best, since, few = ledger.best(), len(ledger.trials), len(ledger.spaces) == 1
    mark = best
    while not session.late:
        most = patience or _patience(ledger, best)
        session.reporter.expect(since + most)
        over = session.spent or session.found_first or len(ledger.trials) - since >= most
        plan = None if over else _most_promising(ledger, beliefs, best)
        if plan is None and best and ledger.unfinished(best.trial):
            plan = best.plan
        if plan is None:
            return
        session.measure(plan, decisive=math.exp(_least(ledger, best)), few=few)
        beliefs.learn()
        best = ledger.best()
        if best and (mark is None or _better(ledger.goal, best, mark)):
            mark, since = best, len(ledger.trials)


def _better(goal: Goal, best: Believed, mark: Believed) -> bool:
    """Returns whether another plan than the last better one is better; beliefs about the same plan merely
    fluctuate."""
    return best.plan != mark.plan and goal.rank(best) < goal.rank(mark)


def _patience(ledger: Ledger, best: Believed | None) -> int:
    """Returns the number of trials without a better plan that end the search."""
    return PATIENCE if (best or ledger.aside) and len(ledger.spaces) == 1 else LONG_PATIENCE


def _most_promising(ledger: Ledger, beliefs: Beliefs, best: Believed | None) -> Plan | None:
    """Returns the plan to measure next, or None where none is likely enough to be better than ``best``."""
    quality = beliefs.quality
    found: tuple[float, Plan] | None = None
    least = _least(ledger, best)
    for number, space in enumerate(ledger.spaces):
        for cells, means, deviations in (_open(space, number, beliefs), _begun(ledger, number, beliefs)):
            candidates = _candidates(space, cells, means, deviations, least, quality)
            if candidates is None:
                continue
            gains, enough = _gains(ledger, candidates, quality, best, least)
            row = int(gains.argmax())
            if gains[row] >= enough and (found is None or gains[row] > found[0]):
                found = float(gains[row]), candidates.plan(row)
    return found[1] if found else None


Speeds = tuple[npt.NDArray[np.int64], Numbers, Numbers]
"""Cells, and the expected means and standard deviations of their log speedups."""


def _open(space: Space, number: int, beliefs: Beliefs) -> Speeds:
    """Returns the plans that were not measured."""
    cells = np.argwhere(space.open & ~np.isnan(beliefs.speedups[number]))
    at = tuple(cells.T)
    return cells, np.log(beliefs.speedups[number][at]), beliefs.deviations[number][at]


def _begun(ledger: Ledger, number: int, beliefs: Beliefs) -> Speeds:
    """Returns the plans whose trial may go on: they missed the target in few pairs of times, or few prompts left
    them open."""
    space, cells, found = ledger.spaces[number], list[Index](), list[tuple[float, float]]()
    for trial in ledger.trials.values():
        may_go_on = ledger.may_retime(trial) or (ledger.unfinished(trial) and trial.plan not in ledger.rejected)
        if may_go_on and trial.latency and space.holds(plan := trial.plan):
            cells.append(space.index(plan))
            found.append(beliefs.log_speedup(number, cells[-1], trial.latency))
    means, deviations = np.array(found).reshape(-1, 2).T
    return np.array(cells, np.int64).reshape(-1, len(space.axes)), means, deviations


def _candidates(
    space: Space,
    cells: npt.NDArray[np.int64],
    means: Numbers,
    deviations: Numbers,
    least: float,
    quality: Quality,
) -> Candidates | None:
    """Returns the plans that are not plainly too slow, thinned out where there are very many, or None where there
    are none."""
    fast = means + MAX_DEVIATIONS * deviations > least
    cells, means, deviations = cells[fast], means[fast], deviations[fast]
    if not len(cells):
        return None
    keep = evenly(np.arange(len(cells)), means)
    cells, means, deviations = cells[keep], means[keep], deviations[keep]
    return Candidates(space, cells, means, deviations, quality.inside(space, cells, np.exp(means)))


def _least(ledger: Ledger, best: Believed | None) -> float:
    """Returns the log speedup that a plan must reach to be of any use."""
    goal = ledger.goal
    asked = math.log(target) if (target := _asked(goal, ledger)) else 0.0
    if goal.fastest_wins and best is not None:
        return max(asked, math.log(best.speedup) + GAIN)
    return asked


def _asked(goal: Goal, ledger: Ledger) -> float | None:
    """Returns the target as a speedup, or None where there is none or, for a latency, no trial was timed yet."""
    if goal.target is None:
        return None
    if goal.target.speedup is not None:
        return goal.target.speedup
    seconds = [t.latency.baseline_s for t in ledger.trials.values() if t.latency]
    wanted = (goal.target.latency_s or 0.0) * goal.batch_size
    return float(np.median(seconds)) / wanted if seconds else None


def _gains(
    ledger: Ledger, c: Candidates, quality: Quality, best: Believed | None, least: float
) -> tuple[Numbers, float]:
    """Returns the expected gain of each candidate over the best plan so far, and the least gain that is worth a
    trial."""
    goal = ledger.goal
    z = (c.means - least) / c.deviations
    if goal.fastest_wins:
        return c.inside * _improvement(z, c.deviations), EXPECTED_GAIN
    reach = c.inside * normal_cdf(z)
    if goal.prefer == "closest":
        off = math.inf if best is None else math.log(best.speedup) - least
        nearer = normal_cdf((off - GAIN - c.means + least) / c.deviations)
        likely = (reach * nearer >= NEGLIGIBLE) & (off > CLOSE)
        return np.where(likely, reach * nearer * np.exp(-np.abs(c.means - least) / NEAR), -1.0), 0.0
    if goal.prefer == "best-quality" and best is not None:
        mean, deviation = quality.excess(c.space, c.cells, np.exp(c.means))
        smaller = _improvement((goal.rank(best) + 1 - mean) / deviation, deviation)
        return normal_cdf(z) * smaller, NEGLIGIBLE
    if reach.max() < LIKELY:
        return reach, NEGLIGIBLE
    losses, _ = quality.excess(c.space, c.cells, np.exp(c.means))
    return _mild_ones_first(reach, losses), NEGLIGIBLE


def _mild_ones_first(chances: Numbers, losses: Numbers) -> Numbers:
    """Returns the chances, with the plans that are as likely as the likeliest one in the order of their expected
    losses, in limits, and of the grid where these are equal.

    Whoever asks for a speed gains nothing by a plan that is faster still and loses more.
    """
    top = chances.max()
    order = losses.round(2).argsort(kind="stable").argsort(kind="stable") / len(losses)
    return np.where(chances >= ALIKE * top, top * (1 - (1 - ALIKE) * order), chances)


def _improvement(z: Numbers, deviation: Numbers) -> Numbers:
    """Returns the expected improvement of a normal variable whose mean lies ``z`` standard deviations above the
    best."""
    return deviation * (z * normal_cdf(z) + normal_pdf(z))
