"""The judgement of trials: what is inside a limit, meets a target, or is better."""

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
"""Tolerance factor on the observed extremes of times before a plan is called hopeless."""
STRETCH = 2.0
"""How many times as far from the limit the interval must be before all prompts are scored. A bootstrap over few
prompts is too narrow, and it is looked at repeatedly."""


def early_verdict(losses: Mapping[str, Loss], limits: Limits) -> Verdict:
    """Returns the verdict of a few prompts: open until at least 8 are scored and the intervals are far from the
    limit."""
    if any(metric not in losses or losses[metric].samples < MIN_SAMPLES for metric in limits):
        return "open"
    return limits.verdict(losses, STRETCH)


@dataclass(frozen=True)
class Goal:
    """The goal of a search: the limits, the target (None for the highest speedup), and the preference.

    Example:
        >>> Goal(Limits({"clip_score": 0.02}), Target(speedup=2.0), prefer="closest")
    """

    limits: Limits
    target: Target | None = None
    prefer: Prefer = "fastest"
    batch_size: int = 1

    def reach(self, speedup: float, plan_s: float) -> float:
        """Returns the share of the target that is reached, 1 or more when it is met; without a target, the
        speedup."""
        if self.target is None:
            return speedup
        if self.target.speedup is not None:
            return speedup / self.target.speedup
        return (self.target.latency_s or 0.0) * self.batch_size / plan_s

    def reached(self, speed: Speed | None) -> bool:
        """Returns whether the speed meets the target. Without a target, every speed does."""
        return speed is not None and (self.target is None or self._reach(speed) >= 1)

    def decided(self, low: float, high: float) -> bool:
        """Returns whether an interval of the speedup lies wholly on one side of a target speedup.

        A target latency is never decided in this way.
        """
        if self.target is None or self.target.speedup is None:
            return False
        return reaches((low, high), self.target.speedup) != "open"

    def surely_reached(self, trial: Trial) -> bool:
        """Returns whether even the lower end of the speedup's interval meets the target."""
        return trial.latency is not None and self._verdict(trial.latency) == "inside"

    def out_of_reach(self, latency: Latency) -> bool:
        """Returns whether the plan is clearly too slow: even the upper end of the speedup's interval misses the
        target."""
        if self.target is None:
            return False
        if latency.interval is None:
            return self.hopeless(latency.baseline_times_s, latency.times_s, None)
        return self._verdict(latency) == "outside"

    def candidate(self, trial: Trial) -> bool:
        """Returns whether the trial is inside the limits by its mean and meets the target by its times."""
        return self.admits(Believed.as_measured(trial))

    def admits(self, plan: Believed) -> bool:
        """Returns whether the plan is inside the limits by its mean and is believed to meet the target."""
        return plan.trial.feasible(self.limits) and self.reached(plan.speed)

    def outside(self, trial: Trial) -> bool:
        """Returns whether the trial is clearly outside a limit."""
        return trial.status == "ok" and self.limits.verdict(trial.losses) == "outside"

    def scored(self, trial: Trial, samples: int) -> bool:
        """Returns whether the trial says enough about these limits: by ``samples`` prompts, or by fewer that are
        clear."""
        have = [trial.losses[m].samples for m in self.limits if m in trial.losses]
        complete = len(have) == len(self.limits) and min(have, default=samples) >= samples
        return complete or early_verdict(trial.losses, self.limits) != "open"

    def rank(self, plan: Believed) -> float:
        """Returns a number that is smaller for better plans. Plans of equal rank keep the order of the search."""
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
        """Whether the first plan that meets the target is enough."""
        return self.target is not None and self.prefer == "first"

    def beats(self, challenger: Believed, holder: Trial) -> bool:
        """Returns whether the challenger is faster than the holder's whole interval."""
        interval = holder.latency.interval if holder.latency else None
        return interval is not None and challenger.speedup > interval[1]

    def skip(self, speed: Speed, best: Believed | None) -> str | None:
        """Returns why a plan of that speed needs no scoring, because it cannot become the choice, or None where it
        may."""
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
        """Returns whether another pair of times is pointless.

        That is so where the slowest baseline call over the fastest plan call, plus 10%, is still too slow.
        """
        speedup, least_s = MARGIN * max(baseline_s) / min(plan_s), min(plan_s) / MARGIN
        if self.target is not None and self.reach(speedup, least_s) < 1:
            return True
        return self.fastest_wins and best is not None and speedup <= best.speedup

    def stop_early(self, losses: Mapping[str, Loss]) -> bool:
        """Returns whether the prompts so far decide about the limits.

        A plan inside the limits is scored in full where the least loss is asked for, which only all prompts can
        tell.
        """
        found = early_verdict(losses, self.limits)
        return found == "outside" or (found == "inside" and not (self.target and self.prefer == "best-quality"))

    def _verdict(self, latency: Latency) -> Verdict:
        """Returns what the interval of the speedup says about the target."""
        if latency.interval is None:
            return "open"
        low, high = (self.reach(end, latency.baseline_s / end) for end in latency.interval)
        return reaches((low, high), 1.0)

    def _reach(self, speed: Speed) -> float:
        return self.reach(speed.speedup, speed.plan_s)


def decide(trial: Trial, goal: Goal) -> Decision:
    """Returns the decision about a trial.

    *met*: it reaches the target, and the interval of every loss is inside its limit. *likely*: it reaches the
    target, and the means are inside the limits. *rejected*: all else.
    """
    if not goal.candidate(trial):
        return "rejected"
    return "met" if goal.limits.verdict(trial.losses) == "inside" else "likely"


def shortfall(trial: Trial, goal: Goal) -> str:
    """Returns in words where a held-out trial falls short."""
    if trial.status != "ok":
        return trial.reason
    over = [
        f"{m} loss {trial.losses[m].loss:.4f}, limit {goal.limits[m]:g}{goal.limits.suffix}"
        for m in goal.limits.broken(trial.losses)
    ]
    slow = [] if goal.reached(trial.latency) else [f"{trial.speedup:.2f}x, asked {goal.target}"]
    return "; ".join(over + slow)
