"""The guided strategy: measures the plan that promises most, by predicted speed and learned quality."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hasten.plan import Plan
from hasten.search.judge import Goal
from hasten.search.predict import Predictor
from hasten.search.session import Session
from hasten.search.space import Space
from hasten.search.surrogate import Numbers, Quality, normal_cdf, normal_pdf

CONSIDERED = 3000
"""Of the open plans of a space so many, the most promising by speed alone, are looked at closely."""
NEGLIGIBLE = 0.02
"""Probability under which a plan is not tried for a target."""
GAIN, EXPECTED_GAIN = 0.005, 0.002
"""A log speedup that is better by less than the first is no better; the search for the fastest plan ends when no
trial is expected to gain the second."""
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
    is to be learned. It knows all trials at hand and draws nothing at random: what goes on after an interruption
    takes the same way.
    """
    predictor = session.predictor
    while not session.spent and not session.found_first:
        plan = _most_promising(session, predictor)
        if plan is None:
            return
        session.measure(plan)


def _most_promising(session: Session, predictor: Predictor) -> Plan | None:
    """The plan to measure next; None when none is likely enough to be better than what is in hand."""
    known = [*session.trials.values(), *session.held_out]
    predictor.learn(known)
    speedups = [predictor.speedups(space) for space in session.spaces]
    quality = Quality(session.goal.limits, session.spaces, speedups)
    quality.learn(known)
    best: tuple[float, Plan] | None = None
    for space, found in zip(session.spaces, speedups, strict=True):
        for candidates in _candidates(session, space, found, predictor, quality):
            gains, enough = _gains(session, candidates, quality)
            row = int(gains.argmax())
            if gains[row] >= enough and (best is None or gains[row] > best[0]):
                best = float(gains[row]), candidates.plan(row)
    return best[1] if best else None


def _candidates(
    session: Session, space: Space, speedups: Numbers, predictor: Predictor, quality: Quality
) -> Iterator[Candidates]:
    """The open plans of a space that are not plainly too slow, at most so many; nothing where there are none."""
    cells = np.argwhere(space.open & ~np.isnan(speedups))
    if not len(cells):
        return
    at = tuple(cells.T)
    means, deviations = np.log(speedups[at]), predictor.deviations(space)[at]
    least = _least(session)
    fast = means + 2 * deviations > least
    cells, means, deviations = cells[fast], means[fast], deviations[fast]
    if len(cells) > CONSIDERED:  # evenly over the speeds that are in question
        keep = np.argsort(means, kind="stable")[:: math.ceil(len(cells) / CONSIDERED)]
        cells, means, deviations = cells[keep], means[keep], deviations[keep]
    if len(cells):
        yield Candidates(space, cells, means, deviations, quality.inside(space, cells, np.exp(means)))


def _least(session: Session) -> float:
    """The log speedup that a plan must reach to be of any use."""
    goal, best = session.goal, session.best()
    asked = math.log(target) if (target := _asked(goal, session)) else 0.0
    if goal.fastest_wins and best is not None:
        return max(asked, math.log(best.speedup) + GAIN)
    return asked


def _asked(goal: Goal, session: Session) -> float | None:
    """The target as a speedup."""
    if goal.target is None:
        return None
    if goal.target.speedup is not None:
        return goal.target.speedup
    seconds = [t.latency.baseline_s for t in session.trials.values() if t.latency]
    wanted = (goal.target.latency_s or 0.0) * goal.batch_size
    return float(np.median(seconds)) / wanted if seconds else None


def _gains(session: Session, c: Candidates, quality: Quality) -> tuple[Numbers, float]:
    """The expected gain of each candidate over what is in hand, and the least that is worth a trial."""
    goal, best, least = session.goal, session.best(), _least(session)
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
