"""How fast a measured plan is believed to be: what its times say, or these and predictions together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hasten.records import Loss, Trial


class Speed(Protocol):
    """How fast a plan is: a ``Latency``, which is what its raw times say, or a ``BelievedSpeed``."""

    @property
    def speedup(self) -> float: ...

    @property
    def plan_s(self) -> float: ...


@dataclass(frozen=True)
class BelievedSpeed:
    """The speed of a plan by predictions and by its times: the speedup, and seconds a call of the pipeline."""

    speedup: float
    plan_s: float


@dataclass(frozen=True)
class Believed:
    """A plan's trial, and how fast the plan is believed to be; None where no times were taken."""

    trial: Trial
    speed: Speed | None

    @classmethod
    def as_measured(cls, trial: Trial) -> Believed:
        """The plan is believed to be as fast as its times say."""
        return cls(trial, trial.latency)

    @property
    def plan(self) -> str:
        return self.trial.plan

    @property
    def losses(self) -> Mapping[str, Loss]:
        return self.trial.losses

    @property
    def speedup(self) -> float:
        """The speedup that is believed; 0 where no times were taken."""
        return self.speed.speedup if self.speed else 0.0
