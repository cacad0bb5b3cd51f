"""What a search asks of whatever measures its plans: a bench, or a replay of recorded measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hasten.plan import Plan
from hasten.records import EqualTime, Latency, Loss, Split, Trial
from hasten.task import Setting


class Measures(Protocol):
    """What a search needs of ``hasten.measure.bench.Bench``."""

    setting: Setting
    pipe: Any

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes two trials comparable beside the setting: environment, weights, scorer, prompts, seed."""

    def trial(
        self,
        plan: Plan,
        *,
        split: Split = ...,
        samples: int = ...,
        offset: int = ...,
        pairs: int = ...,
        metrics: Sequence[str] = ...,
        enough: Callable[[Sequence[float], Sequence[float]], bool] | None = ...,
        worth_scoring: Callable[[Latency], str | None] | None = ...,
        worth_timing: Callable[[dict[str, Loss]], bool] | None = ...,
        stop_early: Callable[[dict[str, Loss]], bool] | None = ...,
        begun: Trial | None = ...,
        report: Callable[[str], None] | None = ...,
    ) -> Trial: ...

    def equal_time(
        self,
        plan_latency: Latency,
        *,
        samples: int = ...,
        offset: int = ...,
        split: Split = ...,
        pairs: int = ...,
        metrics: Sequence[str] = ...,
        plan_losses: dict[str, Loss] | None = ...,
        report: Callable[[str], None] | None = ...,
    ) -> EqualTime: ...
