"""Profiles of machines whose clock is told: what else they do for a while, and what a GPU does of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hasten.measure import _runs, blocks
from hasten.measure._runs import Runs
from hasten.measure.bench import Bench
from hasten.measure.blocks import BlockProfile
from hasten.measure.pipeline import Pipeline
from hasten.methods import check_plan
from hasten.metrics import ClipScorer
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_pixart

REPEATS = 3
STEPS = 3
Pace = Callable[[int, int], float]
"""What a layer takes, by the number of the repeat and of the denoiser's call in each of its runs."""
WAIT = 5
"""What schedulers wait for a GPU that lags behind."""


class Work:
    """A clock that goes on with each layer that is computed and each step of the scheduler. With guidance, twice
    the work for the GPU, the scheduler waits for it."""

    def __init__(self, pipe: Any, pace: Pace, wait: int = 0) -> None:
        self.repeat, self._pipe, self._pace, self._wait = 0, pipe, pace, wait
        self._now, self._calls, self._rows = 0.0, 0, 0

    def mark(self) -> float:
        return self._now

    @contextmanager
    def going(self) -> Iterator[None]:
        pipe, step = self._pipe, self._pipe.scheduler.step
        layers = [m for part in (pipe.text_encoder, pipe.transformer, pipe.vae) for m in part.modules()]
        with ExitStack() as stack:
            for layer in layers:
                if not list(layer.children()):
                    stack.callback(layer.register_forward_hook(lambda *_: self._go_on()).remove)
            stack.callback(pipe.transformer.register_forward_pre_hook(self._count).remove)
            stack.callback(setattr, pipe.scheduler, "step", step)
            stack.callback(setattr, pipe, "encode_prompt", pipe.encode_prompt)
            pipe.scheduler.step = lambda *given, **named: (self._step(), step(*given, **named))[1]
            pipe.encode_prompt = self._beginning(pipe.encode_prompt)
            yield

    def _beginning(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        def begin(*given: Any, **named: Any) -> Any:
            self._calls = 0
            return encode(*given, **named)

        return begin

    def _count(self, _: Any, args: tuple[Any, ...]) -> None:
        self._calls, self._rows = self._calls + 1, args[0].shape[0]

    def _step(self) -> None:
        self._now += 1 + self._wait * (self._rows - 1)

    def _go_on(self) -> None:
        self._now += self._pace(self.repeat, self._calls - 1)


def profiled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, pace: Pace, wait: int = 0, whole: Pipeline | None = None
) -> BlockProfile:
    work = Work(bench.pipe, pace, wait)
    monkeypatch.setattr(_runs, "watch_of", lambda *_: (work.mark, lambda start, end: end - start))
    monkeypatch.setattr(_runs, "hides_hook_cost", lambda _: True)  # plain runs at the probes as well
    monkeypatch.setattr(_runs, "_probes", lambda _: [check_plan(Plan.parse("tome(ratio=0.5)"), bench.pipe)])
    runs = Runs(bench.pipeline, whole)
    with work.going():
        for work.repeat in range(REPEATS):
            runs.take()
    return blocks._profile(runs, REPEATS)


BURSTS: dict[str, Pace] = {
    "all of a repeat": lambda repeat, call: 10 if repeat == 1 else 1,
    "a call of every run": lambda repeat, call: 10 if repeat == call else 1,
}


@pytest.fixture
def bench(scorer: ClipScorer, words: Path) -> Bench:
    return Bench.of(tiny_pixart(), steps=STEPS, height=64, width=64, scorer=scorer, prompts=words)


def steadily(repeat: int, call: int) -> float:
    return 1


def parts_of(profile: BlockProfile) -> tuple[float, float]:
    """Seconds of all parts in a call with guidance, and without."""
    return sum(part.full_s for part in profile.parts), sum(part.half_s for part in profile.parts)


@pytest.mark.full  # the clock's other tests are beside it
def test_a_disturbance_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second falls on every run, so that medians of whole runs would all be wrong."""
    calm = profiled(bench, monkeypatch, steadily)
    assert min(calm.text_s, calm.decode_s) > 1 and calm.between_s == 1 and calm.hook_s == 0
    layers = sum(not list(layer.children()) for layer in bench.pipe.transformer.modules())
    assert sum(part.full_s for part in calm.parts) > layers / 2
    assert any(merged.full_s > 1 for part in calm.parts for merged in part.merged)
    for name, pace in BURSTS.items():
        assert profiled(bench, monkeypatch, pace) == calm, name


def test_what_a_scheduler_waits_for_the_gpu_is_a_calls_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cheaper call is not waited for: the wait must not stay where all of its parts rest."""
    calm, waiting = (profiled(bench, monkeypatch, steadily, wait) for wait in (0, WAIT))
    (full_s, half_s), (longer_s, same_s) = parts_of(calm), parts_of(waiting)
    assert (waiting.between_s, waiting.half_between_s) == (1, 1)
    assert longer_s == pytest.approx(full_s + WAIT) and same_s == pytest.approx(half_s)
    assert waiting.latency_s == pytest.approx(calm.latency_s + STEPS * WAIT)
    assert [p.half_s for p in waiting.parts] == pytest.approx([p.half_s for p in calm.parts])


def test_a_busy_gpu_is_profiled_at_the_pace_of_a_whole_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock slows down when it has worked for a while."""
    whole = bench.pipeline.at(replace(bench.setting, steps=4 * STEPS))
    calm = profiled(bench, monkeypatch, steadily)
    hot = profiled(bench, monkeypatch, lambda _, call: 1.5 if call >= STEPS else 1, whole=whole)
    # The scheduler's step, 1 of a call's seconds, does not slow down here.
    pace = (1.5 * parts_of(calm)[0] + 1) / (parts_of(calm)[0] + 1)
    assert parts_of(hot)[0] + 1 == pytest.approx(pace * (parts_of(calm)[0] + 1))
    assert hot.between_s == calm.between_s and hot.text_s == calm.text_s
    monkeypatch.setattr(Runs, "_keeps_up", lambda *_: True)  # it waits for its processor
    assert profiled(bench, monkeypatch, steadily, whole=whole) == calm
