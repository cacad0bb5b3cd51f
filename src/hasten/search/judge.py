"""What counts as inside a limit, as meeting a target, as better: all judgement of trials in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hasten.limits import Limits
from hasten.options.table import MIN_SAMPLES
from hasten.records import Latency, Loss, Trial
from hasten.search.believed import Believed, Speed
from hasten.search.options import Prefer
from hasten.task import Target
from hasten.verdict import Verdict, reaches

Decision = Literal["met", "likely", "rejected"]
MARGIN = 1.1
"""One pair of times may be so far off, beyond what their extremes show."""
STRETCH = 2.0
"""Before all prompts are scored the interval must be this many times as far from the limit: a bootstrap
over few prompts is too narrow, and it is looked at again and again."""


def settled_early(losses: Mapping[str, Loss], limits: Limits) -> Verdict:
    """The verdict of a few prompts; open until at least 8 are scored and the limit is far off."""
    if any(metric not in losses or losses[metric].samples < MIN_SAMPLES for metric in limits):
        return "open"
    return limits.verdict(losses, STRETCH)


@dataclass(frozen=True)
class Goal:
    """What a search is after: the limits, the target (None: the highest speedup), and the preference."""

    limits: Limits
    target: Target | None = None
    prefer: Prefer = "fastest"
    batch_size: int = 1

    def reach(self, speedup: float, plan_s: float) -> float:
        """How much of the target is reached, 1 and more meets it; without a target, the speedup."""
        if self.target is None:
            return speedup
        if self.target.speedup is not None:
            return speedup / self.target.speedup
        return (self.target.latency_s or 0.0) * self.batch_size / plan_s

    def reached(self, speed: Speed | None) -> bool:
        """The speed meets the target; without a target every one does."""
        return speed is not None and (self.target is None or self._reach(speed) >= 1)

    def decided(self, low: float, high: float) -> bool:
        """An interval of the speedup lies wholly on one side of a target speedup. A latency is never decided."""
        if self.target is None or self.target.speedup is None:
            return False
        return reaches((low, high), self.target.speedup) != "open"

    def surely_reached(self, trial: Trial) -> bool:
        """Even the lower end of the speedup's interval meets the target."""
        return trial.latency is not None and self._verdict(trial.latency) == "inside"

    def out_of_reach(self, latency: Latency) -> bool:
        """Clearly too slow: even the upper end of the speedup's interval misses the target."""
        if self.target is None:
            return False
        if latency.interval is None:
            return self.hopeless(latency.baseline_times_s, latency.times_s, None)
        return self._verdict(latency) == "outside"

    def candidate(self, trial: Trial) -> bool:
        """Inside the limits by its mean, and meets the target by its times."""
        return self.admits(Believed.as_measured(trial))

    def admits(self, plan: Believed) -> bool:
        """Inside the limits by its mean, and believed to meet the target."""
        return plan.trial.feasible(self.limits) and self.reached(plan.speed)

    def outside(self, trial: Trial) -> bool:
        """Clearly outside a limit."""
        return trial.status == "ok" and self.limits.verdict(trial.losses) == "outside"

    def scored(self, trial: Trial, samples: int) -> bool:
        """The trial tells enough about these limits: all prompts, or fewer that are clear about them."""
        have = [trial.losses[m].samples for m in self.limits if m in trial.losses]
        complete = len(have) == len(self.limits) and min(have, default=samples) >= samples
        return complete or settled_early(trial.losses, self.limits) != "open"

    def rank(self, plan: Believed) -> float:
        """The smaller the better; equal ranks keep the order of the search."""
        if self.fastest_wins:
            return -plan.speedup
        if self.prefer == "closest" and plan.speed:
            return abs(self._reach(plan.speed) - 1)
        if self.prefer == "best-quality":
            shares = (self.limits.excess(m, plan.losses[m].loss) / max(self.limits[m], 1e-9) for m in self.limits)
            return max(shares, default=0.0)
        return 0.0

    @property
    def fastest_wins(self) -> bool:
        return self.target is None or self.prefer == "fastest"

    @property
    def first_wins(self) -> bool:
        """The first plan that meets the target will do."""
        return self.target is not None and self.prefer == "first"

    def beats(self, challenger: Believed, holder: Trial) -> bool:
        """The challenger is faster than all that the holder's interval allows."""
        interval = holder.latency.interval if holder.latency else None
        return interval is not None and challenger.speedup > interval[1]

    def skip(self, speed: Speed, best: Believed | None) -> str | None:
        """Why a plan of that speed needs no scoring: it cannot become the choice. None when it may."""
        if not self.reached(speed):
            return f"{speed.speedup:.2f}x does not reach {self.target}"
        if best is None or best.speed is None:
            return None
        if self.fastest_wins and speed.speedup <= best.speedup:
            return f"{speed.speedup:.2f}x is no faster than {best.speedup:.2f}x with {best.plan}"
        if self.target and self.prefer == "closest" and self._reach(speed) >= self._reach(best.speed):
            return f"{speed.speedup:.2f}x is no closer to {self.target} than {best.plan}"
        return None

    def hopeless(self, baseline_s: Sequence[float], plan_s: Sequence[float], best: Believed | None) -> bool:
        """Not worth another pair: the slowest baseline call over the fastest plan call, and 10%, is too slow."""
        speedup, least_s = MARGIN * max(baseline_s) / min(plan_s), min(plan_s) / MARGIN
        if self.target is not None and self.reach(speedup, least_s) < 1:
            return True
        return self.fastest_wins and best is not None and speedup <= best.speedup

    def stop_early(self, losses: Mapping[str, Loss]) -> bool:
        """Enough prompts: clear either way; the least loss can only be told from all that are inside."""
        found = settled_early(losses, self.limits)
        return found == "outside" or (found == "inside" and not (self.target and self.prefer == "best-quality"))

    def _verdict(self, latency: Latency) -> Verdict:
        """Of the interval of the speedup, whether it meets the target."""
        if latency.interval is None:
            return "open"
        low, high = (self.reach(end, latency.baseline_s / end) for end in latency.interval)
        return reaches((low, high), 1.0)

    def _reach(self, speed: Speed) -> float:
        return self.reach(speed.speedup, speed.plan_s)


def decide(trial: Trial, goal: Goal) -> Decision:
    """met: the target reached and every loss' interval inside its limit. likely: the means only. Else rejected."""
    if not goal.candidate(trial):
        return "rejected"
    return "met" if goal.limits.verdict(trial.losses) == "inside" else "likely"


def shortfall(trial: Trial, goal: Goal) -> str:
    """What a held-out trial falls short of, in words."""
    if trial.status != "ok":
        return trial.reason
    over = [
        f"{m} loss {trial.losses[m].loss:.4f}, limit {goal.limits[m]:g}{goal.limits.suffix}"
        for m in goal.limits.broken(trial.losses)
    ]
    slow = [] if goal.reached(trial.latency) else [f"{trial.speedup:.2f}x, asked {goal.target}"]
    return "; ".join(over + slow)
