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
from hasten.predict.speeds import Predictor
from hasten.predict.timed_pairs import error_of, log_ratio, scatter_of
from hasten.records import Latency, Trial
from hasten.search.judge import Goal
from hasten.search.session import Session

CONSIDERED = 3000
"""Of the open plans of a space so many, the most promising by speed alone, are looked at closely."""
NEGLIGIBLE = 0.002
"""Probability under which a plan is not tried for a target."""
WIDE = 2.0
"""Standard deviations over its prediction up to which a plan may be as fast as asked."""
SURE = 1.96
GAIN, EXPECTED_GAIN = 0.005, 0.002
"""A log speedup that is better by less than the first is no better; the search for the fastest plan ends when no
trial is expected to gain the second."""
VERDICT_GAIN = 0.003
"""With an answer in hand another plan is confirmed for such a log speedup, on average: a verdict takes as long as
several trials."""
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
    beliefs = Beliefs(session, session.predictor)
    best, since, few = session.best(), len(session.trials), len(session.spaces) == 1
    mark = best
    while not session.late:
        session.expect(since + _patience(session, best))
        over = session.spent or session.found_first or len(session.trials) - since >= _patience(session, best)
        plan = None if over else _most_promising(session, beliefs, best)
        if plan is None and best and session.unfinished(best):
            plan = Plan.parse(best.plan)
        if plan is None:
            return
        session.measure(plan, decisive=math.exp(_least(session, best)), few=few)
        beliefs.learn()
        best = session.best()
        if best and (mark is None or _better(session.goal, best, mark)):
            mark, since = best, len(session.trials)


def _better(goal: Goal, best: Trial, mark: Trial) -> bool:
    """Another plan than the last better one: what is believed of one and the same comes and goes."""
    return best.plan != mark.plan and goal.rank(best) < goal.rank(mark)


def _patience(session: Session, best: Trial | None) -> int:
    """So many trials without a better plan end the search."""
    return PATIENCE if (best or session.aside) and len(session.spaces) == 1 else HOPE


class Beliefs:
    """What is believed of a plan's speed: the prediction and the few timed pairs, each as far as it is sure.

    A search times few pairs, and the fastest of many noisy plans is the luckiest one: taken at its word, nothing
    would ever look faster again.
    """

    def __init__(self, session: Session, predictor: Predictor) -> None:
        self._session, self._predictor = session, predictor
        self.learn()

    def learn(self) -> None:
        """Corrects the predictions by all trials so far; the session goes by them."""
        session, predictor = self._session, self._predictor
        self.known = [*session.trials.values(), *session.held_out.own]
        predictor.learn(self.known)
        self.speedups = [predictor.speedups(space) for space in session.spaces]
        self.deviations = [predictor.deviations(space) for space in session.spaces]
        self._scatter = scatter_of(t.latency for t in self.known if t.latency)
        self.quality = Quality(session.goal.limits, session.spaces, self.speedups)
        self.quality.learn(self.known, session.elsewhere)
        session.trust(self)

    def inside(self, plan: Plan) -> float:
        """The probability that the plan keeps all limits; 0 of one that is in no space."""
        number = next((i for i, space in enumerate(self._session.spaces) if space.holds(plan)), None)
        if number is None:
            return 0.0
        at = self._session.spaces[number].index(plan)
        return float(self._probably(number, np.array([at], np.int64))[0])

    def promising(self, than: Trial | None = None) -> Plan | None:
        """As ``Beliefs.promising`` of the options."""
        known = self._known()
        found, worth = None, VERDICT_GAIN if than else 0.0
        for number, space in enumerate(self._session.spaces):
            cells, hopes = self._hopes(number, than.speedup if than else 1.0)
            for row in np.argsort(hopes)[::-1]:
                if hopes[row] <= worth:
                    break
                if str(plan := space.plan(tuple(map(int, cells[row])))) not in known:
                    found, worth = plan, float(hopes[row])
        return found

    def _hopes(self, number: int, least: float) -> tuple[npt.NDArray[np.int64], Numbers]:
        """Of a space's plans that are faster than that the cells, and what each gains over it on average."""
        space, gains = self._session.spaces[number], np.log(np.nan_to_num(self.speedups[number], nan=1.0) / least)
        cells = np.argwhere(space.cells & (gains > GAIN))
        gained = gains[tuple(cells.T)]
        if not len(cells):
            return cells, gained
        cells = _evenly(cells, gained)
        # Of several verdicts the best is the luckiest one: the more there were, the surer the next plan must be.
        return cells, self._probably(number, cells) ** (1 + len(self._known())) * gains[tuple(cells.T)]

    def _known(self) -> set[str]:
        """The plans that held-out prompts decided on."""
        return self._session.rejected.keys() | self._session.accepted.keys()

    def _probably(self, number: int, cells: npt.NDArray[np.int64]) -> Numbers:
        speedups = self.speedups[number][tuple(cells.T)]
        return self.quality.inside(self._session.spaces[number], cells, speedups)

    def __call__(self, plan: Plan, latency: Latency) -> Latency:
        """The latency with the believed speedup, and its interval."""
        found = next((i for i, space in enumerate(self._session.spaces) if space.holds(plan)), None)
        if found is None:
            return latency
        mean, deviation = self.log_speedup(found, self._session.spaces[found].index(plan), latency)
        half = SURE * deviation
        believed = {
            "speedup": math.exp(mean),
            "interval": (math.exp(mean - half), math.exp(mean + half)),
            "plan_s": latency.baseline_s / math.exp(mean),
        }
        return latency.model_copy(update=believed)

    def log_speedup(self, space: int, at: Index, latency: Latency) -> tuple[float, float]:
        """Mean and standard deviation, by the prediction and the pairs, of the plan of a cell of a space."""
        said, sure = math.log(self.speedups[space][at]), self.deviations[space][at] ** -2
        timed, seen = log_ratio(latency), error_of(latency, self._scatter) ** -2
        return (said * sure + timed * seen) / (sure + seen), float((sure + seen) ** -0.5)


def _most_promising(session: Session, beliefs: Beliefs, best: Trial | None) -> Plan | None:
    """The plan to measure next; None when none is likely enough to be better than ``best``, what is in hand."""
    quality = beliefs.quality
    found: tuple[float, Plan] | None = None
    least = _least(session, best)
    for number, space in enumerate(session.spaces):
        for cells, means, deviations in (_open(space, number, beliefs), _begun(session, number, beliefs)):
            candidates = _candidates(space, cells, means, deviations, least, quality)
            if candidates is None:
                continue
            gains, enough = _gains(session, candidates, quality, best, least)
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


def _begun(session: Session, number: int, beliefs: Beliefs) -> Speeds:
    """The plans that missed the target in a few pairs of times and may meet it in more, and those whose losses a
    few prompts leave open."""
    space, cells, found = session.spaces[number], list[Index](), list[tuple[float, float]]()
    for trial in session.trials.values():
        goes_on = session.may_retime(trial) or (session.unfinished(trial) and trial.plan not in session.rejected)
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
    keep = _evenly(np.arange(len(cells)), means)
    cells, means, deviations = cells[keep], means[keep], deviations[keep]
    return Candidates(space, cells, means, deviations, quality.inside(space, cells, np.exp(means)))


def _evenly(rows: npt.NDArray[np.int64], speeds: Numbers) -> npt.NDArray[np.int64]:
    """At most so many as are considered, evenly over their speeds."""
    if len(rows) <= CONSIDERED:
        return rows
    return rows[np.argsort(speeds, kind="stable")[:: math.ceil(len(rows) / CONSIDERED)]]


def _least(session: Session, best: Trial | None) -> float:
    """The log speedup that a plan must reach to be of any use."""
    goal = session.goal
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


def _gains(
    session: Session, c: Candidates, quality: Quality, best: Trial | None, least: float
) -> tuple[Numbers, float]:
    """The expected gain of each candidate over what is in hand, and the least that is worth a trial."""
    goal = session.goal
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
