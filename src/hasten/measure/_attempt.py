"""The one place where measurements become a trial, also when the plan fails under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.measure.failures import PlanError
from hasten.measure.lock import device_lock
from hasten.plan import Plan
from hasten.records import Split, Trial

if TYPE_CHECKING:
    from hasten.measure.bench import Bench


def attempt(
    bench: Bench,
    plan: Plan,
    split: Split,
    offset: int,
    steps: int | None,
    measure: Callable[[dict[str, Any]], None],
) -> Trial:
    """The trial that ``measure`` fills in; when the plan fails, what was found so far and the reason."""
    found: dict[str, Any] = {}
    with device_lock(bench.setting.device):
        start = time.perf_counter()
        try:
            measure(found)
        except PlanError as failure:
            found |= {"status": "failed", "reason": str(failure)}
    return Trial.model_validate(
        {
            "plan": str(plan),
            "steps": steps or bench.setting.steps,
            "split": split,
            "offset": offset,
            "environment": bench.environment,
            "seconds": time.perf_counter() - start,
            **found,
        }
    )
