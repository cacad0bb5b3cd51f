"""Measures a fresh process up to its first images: importing, loading, and the very first call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from hasten.measure.fresh_process import answer, ask
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.measure.profile import FirstCall, Report, modules_of, side_of
from hasten.measure.prompts import PromptSet
from hasten.measure.threads import using_threads
from hasten.measure.timing import module_timer, synchronise, take_turns
from hasten.models import FAMILIES, load_pipeline
from hasten.plan import Plan
from hasten.schedulers import find_scheduler
from hasten.task import Setting


def first_calls(
    setting: Setting,
    plans: Sequence[Plan],
    prompts: PromptSet,
    *,
    times: int = 1,
    seed: int = 0,
    threads: int | None = None,
    report: Report | None = None,
) -> Iterator[FirstCall]:
    """Measures each plan ``times`` times, each time in a fresh process, in the order A B, B A, A B, …

    ``threads`` are those that torch computes with, and None leaves it its own choice. The device's lock must be
    free, because each of the processes takes it.

    Raises:
        InputError: the model or the plan cannot be used.
        MeasurementError: a process failed.
    """
    for turn in range(times):
        for plan in plans if turn % 2 == 0 else reversed(plans):
            if report:
                report(f"first call in a fresh process: {plan}, {turn + 1} of {times}")
            given = {"setting": asdict(setting), "plan": str(plan), "prompts": asdict(prompts), "seed": seed}
            given["threads"] = threads
            yield FirstCall.model_validate(ask("hasten.measure.first_call", given, "the first call"))


def measured(setting: Setting, plan: Plan, prompts: PromptSet, seed: int, threads: int | None = None) -> FirstCall:
    """Measures the plan in this process, which should have done nothing else before. Raises HastenError."""
    import_s = _seconds(_import_libraries)
    with device_lock(setting.device), using_threads(threads):
        start = time.perf_counter()
        scheduler = find_scheduler(setting.scheduler)
        pipe = load_pipeline(setting.model, scheduler, setting.dtype, setting.device)
        synchronise(setting.device)
        load_s = time.perf_counter() - start
        pipeline = Pipeline(pipe, setting, prompts, seed)
        side = side_of(pipeline, pipeline.completed(plan), setting.batch_size)
        with module_timer(modules_of(pipeline), setting.device) as parts_s:
            for _ in take_turns([side], 1, setting.device, parts_s):
                pass
    return FirstCall(
        plan=str(plan),
        batch_size=setting.batch_size,
        import_s=import_s,
        load_s=load_s,
        call_s=side.times[0],
        parts_s=side.parts[0],
    )


def _import_libraries() -> None:
    """Imports the libraries with the classes of all families, which diffusers imports only when they are asked
    for."""
    import diffusers
    import torch  # noqa: F401

    for family in FAMILIES.all():
        getattr(diffusers, family.pipeline)


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _work(given: dict[str, Any]) -> FirstCall:
    name, *splits = given["prompts"].values()
    prompts = PromptSet(name, *map(tuple, splits))
    return measured(
        Setting(**given["setting"]), Plan.parse(given["plan"]), prompts, given["seed"], given["threads"]
    )


if __name__ == "__main__":
    answer(_work)
