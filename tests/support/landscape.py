"""A bench whose figures are functions of the plan, so that the logic of a search can be followed exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hasten.measure.contract import TrialSpec
from hasten.plan import Plan
from hasten.records import FEW_PAIRS, EqualTime, Latency, Loss, Split, Trial
from hasten.task import Setting

SETTING = Setting("landscape", "DDIM", 25, 64, 64, 3.0)
BASELINE_S = 1.0


def latency(speedup: float, spread: float = 0.01, pairs: int = 3, baseline_s: float = BASELINE_S) -> Latency:
    times = (baseline_s / speedup,) * pairs
    return Latency(
        speedup=speedup,
        interval=(speedup * (1 - spread), speedup * (1 + spread)),
        baseline_s=baseline_s,
        plan_s=baseline_s / speedup,
        baseline_times_s=(baseline_s,) * pairs,
        times_s=times,
    )


def loss(value: float, samples: int = 32, half_width: float = 0.002, metric: str = "clip_score") -> Loss:
    return Loss(
        metric=metric,
        baseline=0.3,
        score=0.3 * (1 - value),
        loss=value,
        interval=(value - half_width, value + half_width),
        baseline_scores=(0.3,) * samples,
        scores=(0.3 * (1 - value),) * samples,
    )


def trial(plan: str = "deepcache(cache_branch_id=0,cache_interval=3)", **changes: Any) -> Trial:
    known = {"steps": 25, "latency": latency(2.0), "losses": {"clip_score": loss(0.01), "ssim": loss(0.1)}}
    return Trial(plan=plan, **{**known, **changes})


@dataclass
class Landscape:
    """``speedup`` and ``clip_loss`` map a plan to its figures; ``held_out`` the loss on held-out prompts."""

    speedup: Callable[[Plan], float]
    clip_loss: Callable[[Plan], float]
    held_out: Callable[[Plan], float] | None = None
    half_width: float = 0.002
    fails: Callable[[Plan], bool] = lambda plan: False
    interrupt_after: int | None = None
    pipe: Any = None
    setting: Setting = SETTING
    identity: dict[str, Any] = field(default_factory=dict)
    measured: Counter[tuple[str, Split]] = field(default_factory=Counter)
    scored: list[str] = field(default_factory=list)
    images: int = 0

    def trial(self, plan: Plan, spec: TrialSpec, *, report: Callable[[str], None] | None = None) -> Trial:
        split, begun = spec.split, spec.begun
        if self.interrupt_after is not None and self.measured.total() >= self.interrupt_after:
            raise KeyboardInterrupt
        self.measured[str(plan), split] += begun is None
        known: dict[str, Any] = {
            "plan": str(plan),
            "steps": self.setting.steps,
            "split": split,
            "offset": spec.offset,
        }
        if self.fails(plan):
            return Trial(**known, status="failed", reason="NaN or infinite pixels")
        known["latency"] = begun.latency if begun else latency(self.speedup(plan), pairs=spec.pairs)
        if not begun and spec.enough and spec.enough((BASELINE_S,), (BASELINE_S / self.speedup(plan),)):
            known["latency"] = latency(self.speedup(plan), spread=0, pairs=1)
        if not begun and spec.worth_scoring and (reason := spec.worth_scoring(known["latency"])):
            return Trial(**known, status="skipped", reason=reason)
        if not (begun and begun.losses):
            self.scored.append(str(plan))
        value = (self.held_out or self.clip_loss)(plan) if split == "held-out" else self.clip_loss(plan)
        done = min((loss.samples for loss in begun.losses.values()), default=0) if begun else 0
        while done < spec.samples:
            self.images += min(spec.samples - done, 8)
            done = min(spec.samples, done + 8)
            width = self.half_width * (spec.samples / done) ** 0.5
            losses = {m: loss(value if m == "clip_score" else 0.1, done, width, m) for m in spec.metrics}
            if spec.stop_early and done < spec.samples and spec.stop_early(losses):
                break
        if spec.worth_timing and not spec.worth_timing(losses):
            known["latency"] = latency(self.speedup(plan), pairs=FEW_PAIRS)
        return Trial(**known, losses=losses)

    def equal_time(
        self,
        plan_latency: Latency,
        spec: TrialSpec,
        *,
        plan_losses: dict[str, Loss] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> EqualTime:
        losses = {m: loss(0.05, metric=m) for m in spec.metrics}
        fewer = trial("baseline", steps=12, split=spec.split, offset=spec.offset, losses=losses)
        loses = tuple(m for m, own in (plan_losses or {}).items() if fewer.losses[m].loss < own.loss)
        return EqualTime(steps=12, trial=fewer, plan_loses=loses)
