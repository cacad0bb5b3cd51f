"""What else a machine does for a while does not change a profile of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hasten.measure import _runs, blocks
from hasten.measure._runs import Runs
from hasten.measure.bench import Bench
from hasten.measure.blocks import BlockProfile
from hasten.methods import check_plan
from hasten.metrics import ClipScorer
from hasten.plan import Plan
from pipelines import tiny_pixart

REPEATS = 3
STEPS = 3
Disturbed = Callable[[int, int], bool]
"""Whether the machine is slowed down, by the number of the repeat and the denoiser's call in each of its runs."""


class Work:
    """A clock that goes on by 1 with each layer that is computed and each step of the scheduler, by 10 where the
    machine is slowed down."""

    def __init__(self, pipe: Any, disturbed: Disturbed) -> None:
        self.repeat, self._pipe, self._disturbed = 0, pipe, disturbed
        self._now, self._calls = 0, 0

    def mark(self) -> int:
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
            pipe.scheduler.step = lambda *given, **named: (self._go_on(), step(*given, **named))[1]
            yield

    def _count(self, *_: object) -> None:
        self._calls += 1

    def _go_on(self) -> None:
        self._now += 10 if self._disturbed(self.repeat, (self._calls - 1) % STEPS) else 1


def profiled(bench: Bench, monkeypatch: pytest.MonkeyPatch, disturbed: Disturbed) -> BlockProfile:
    work = Work(bench.pipe, disturbed)
    monkeypatch.setattr(_runs, "watch_of", lambda *_: (work.mark, lambda start, end: end - start))
    monkeypatch.setattr(_runs, "hides", lambda _: True)  # plain runs at the probes as well
    monkeypatch.setattr(_runs, "_probes", lambda _: [check_plan(Plan.parse("tome(ratio=0.5)"), bench.pipe)])
    runs = Runs(bench.pipeline)
    with work.going():
        for work.repeat in range(REPEATS):
            runs.take()
    return blocks._profile(runs, REPEATS)


BURSTS: dict[str, Disturbed] = {
    "all of a repeat": lambda repeat, call: repeat == 1,
    "a call of every run": lambda repeat, call: repeat == call,
}


def test_a_disturbance_changes_nothing(scorer: ClipScorer, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second falls on every run, so that medians of whole runs would all be wrong."""
    bench = Bench.of(tiny_pixart(), steps=STEPS, height=64, width=64, scorer=scorer, prompts=words)
    calm = profiled(bench, monkeypatch, lambda *_: False)
    assert min(calm.text_s, calm.decode_s) > 1 and calm.between_s == 1 and calm.hook_s == 0
    layers = sum(not list(layer.children()) for layer in bench.pipe.transformer.modules())
    assert sum(part.full_s for part in calm.parts) > layers / 2
    assert any(merged.full_s > 1 for part in calm.parts for merged in part.merged)
    for name, disturbed in BURSTS.items():
        assert profiled(bench, monkeypatch, disturbed) == calm, name
