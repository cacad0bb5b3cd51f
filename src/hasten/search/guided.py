"""The guided strategy: measures the plan that promises most, by predicted speed and learned quality."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hasten.plan import Plan
from hasten.predict.losses import Quality, normal_cdf, normal_pdf
from hasten.predict.residual import Numbers
from hasten.predict.space import Index, Space
from hasten.predict.speeds import WIDE
from hasten.search.beliefs import GAIN, Beliefs, evenly
from hasten.search.believed import Believed
from hasten.search.judge import Goal
from hasten.search.ledger import Ledger
from hasten.search.session import Session

EXPECTED_GAIN = 0.002
"""The search for the fastest plan ends when no trial is expected to gain such a log speedup."""
NEGLIGIBLE = 0.002
"""Probability under which a plan is not tried for a target."""
PATIENCE, HOPE = 24, 36
"""So many trials in a row without a better plan end the search; the second where none has been found at all, or
where several sets of methods are in question, of which each has its losses to be learned."""
NEAR, CLOSE = 0.05, 0.02
"""Log speedups off a target: what draws the search for the closest plan nearer, and where it ends."""


@dataclass(frozen=True)
class Candidates:
    """Open plans of a space: their cells, (n, axes), and what is expected of their log speedups, (n,) each."""

    space: Space
    cells: npt.NDArray[np.int64]
    means: Numbers
    deviations: Numbers
    inside: Numbers

    def plan(self, row: int) -> Plan:
        return self.space.plan(tuple(map(int, self.cells[row])))


def guided(session: Session) -> None:
    """Measures, one after the other, the plan with the greatest expected gain, until none is likely to gain.

    The gain of a plan is what the goal asks for (a greater speedup, a target met, a smaller loss) times the
    probability that it stays within the limits: constrained expected improvement (Gardner et al., Bayesian
    Optimization with Inequality Constraints, ICML 2014), with speeds from the cost model, so that quality alone
    is to be learned. A plan is scored on a few prompts first, and on more where they leave it open and it promises
    more than another; the best in hand is only left where it is settled. So is a plan timed in more pairs that was
    too slow in a few. It knows all trials at hand and draws nothing at random: what goes on after an interruption
    takes the same way.

    Where several sets of methods are in question, a plan is scored to its end at once: with few prompts each the
    losses of the one set are mistaken for those of another.
    """
    ledger = session.ledger
    beliefs = Beliefs(ledger, session.predictor, session.elsewhere)
    best, since, few = ledger.best(), len(ledger.trials), len(ledger.spaces) == 1
    mark = best
    while not session.late:
        session.reporter.expect(since + _patience(ledger, best))
        over = session.spent or session.found_first or len(ledger.trials) - since >= _patience(ledger, best)
        plan = None if over else _most_promising(ledger, beliefs, best)
        if plan is None and best and ledger.unfinished(best.trial):
            plan = Plan.parse(best.plan)
        if plan is None:
            return
        session.measure(plan, decisive=math.exp(_least(ledger, best)), few=few)
        beliefs.learn()
        best = ledger.best()
        if best and (mark is None or _better(ledger.goal, best, mark)):
            mark, since = best, len(ledger.trials)


def _better(goal: Goal, best: Believed, mark: Believed) -> bool:
    """Another plan than the last better one: what is believed of one and the same comes and goes."""
    return best.plan != mark.plan and goal.rank(best) < goal.rank(mark)


def _patience(ledger: Ledger, best: Believed | None) -> int:
    """So many trials without a better plan end the search."""
    return PATIENCE if (best or ledger.aside) and len(ledger.spaces) == 1 else HOPE


def _most_promising(ledger: Ledger, beliefs: Beliefs, best: Believed | None) -> Plan | None:
    """The plan to measure next; None when none is likely enough to be better than ``best``, what is in hand."""
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
"""Cells, and what is expected of their log speedups."""


def _open(space: Space, number: int, beliefs: Beliefs) -> Speeds:
    """The plans that were not measured."""
    cells = np.argwhere(space.open & ~np.isnan(beliefs.speedups[number]))
    at = tuple(cells.T)
    return cells, np.log(beliefs.speedups[number][at]), beliefs.deviations[number][at]


def _begun(ledger: Ledger, number: int, beliefs: Beliefs) -> Speeds:
    """The plans that missed the target in a few pairs of times and may meet it in more, and those whose losses a
    few prompts leave open."""
    space, cells, found = ledger.spaces[number], list[Index](), list[tuple[float, float]]()
    for trial in ledger.trials.values():
        goes_on = ledger.may_retime(trial) or (ledger.unfinished(trial) and trial.plan not in ledger.rejected)
        if goes_on and trial.latency and space.holds(plan := Plan.parse(trial.plan)):
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
    """Those that are not plainly too slow, at most so many; None where there are none."""
    fast = means + WIDE * deviations > least
    cells, means, deviations = cells[fast], means[fast], deviations[fast]
    if not len(cells):
        return None
    keep = evenly(np.arange(len(cells)), means)
    cells, means, deviations = cells[keep], means[keep], deviations[keep]
    return Candidates(space, cells, means, deviations, quality.inside(space, cells, np.exp(means)))


def _least(ledger: Ledger, best: Believed | None) -> float:
    """The log speedup that a plan must reach to be of any use."""
    goal = ledger.goal
    asked = math.log(target) if (target := _asked(goal, ledger)) else 0.0
    if goal.fastest_wins and best is not None:
        return max(asked, math.log(best.speedup) + GAIN)
    return asked


def _asked(goal: Goal, ledger: Ledger) -> float | None:
    """The target as a speedup."""
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
    """The expected gain of each candidate over what is in hand, and the least that is worth a trial."""
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
    return reach, NEGLIGIBLE


def _improvement(z: Numbers, deviation: Numbers) -> Numbers:
    """Of a normal figure that lies ``z`` deviations above the one to beat: what is won on average."""
    return deviation * (z * normal_cdf(z) + normal_pdf(z))
