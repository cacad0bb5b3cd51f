"""The believed speed of a measured plan, from its times alone or from times and predictions together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hasten.plan import Plan
from hasten.records import Loss, Trial


class Speed(Protocol):
    """The speed of a plan: a ``Latency``, which is computed from raw times, or a ``BelievedSpeed``."""

    @property
    def speedup(self) -> float: ...

    @property
    def plan_s(self) -> float: ...


@dataclass(frozen=True)
class BelievedSpeed:
    """The speed of a plan by predictions and times: the speedup, and the seconds of a call of the pipeline."""

    speedup: float
    plan_s: float


@dataclass(frozen=True)
class Believed:
    """A plan's trial and the believed speed of the plan, which is None where no times were taken."""

    trial: Trial
    speed: Speed | None

    @classmethod
    def as_measured(cls, trial: Trial) -> Believed:
        """Returns the trial with the speed that its times show."""
        return cls(trial, trial.latency)

    @property
    def plan(self) -> Plan:
        return self.trial.plan

    @property
    def losses(self) -> Mapping[str, Loss]:
        return self.trial.losses

    @property
    def speedup(self) -> float:
        """The believed speedup; 0 where no times were taken."""
        return self.speed.speedup if self.speed else 0.0
