"""Finds the fastest number of CPU threads for a pipeline on this machine, and remembers it.

More threads are not always faster: the threads of a call wait for each other at every layer, so that one thread
that shares its core with another program delays all of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hasten.errors import HastenError, MeasurementError
from hasten.files import save_json, user_cache
from hasten.measure.environment import NOT_COMPARED, environment
from hasten.measure.failures import plan_failures
from hasten.measure.pipeline import Pipeline
from hasten.measure.threads import own_choice, physical_cores, told_by_user, using_threads
from hasten.options.values import AUTO

logger = logging.getLogger(__name__)
ROUNDS, FEWEST_ROUNDS, LONG_S = 7, 3, 4.0
"""How often a call is timed with each number of threads; the second, smaller number applies once the timed calls
have taken ``LONG_S`` seconds."""
NEAR = 1.05
"""Fewer threads are chosen where they are at most this many times as slow as the fastest."""
SPOILT = 2.0
"""Several threads that were the choice are given up where they are this many times as slow as one."""
HOPELESS, SLOW_S = 3.0, 1.0
"""A number of threads is timed no further where it is ``HOPELESS`` times as slow as another and a call takes more
than ``SLOW_S`` seconds."""
CAPTURED_STEPS = 2


@dataclass(frozen=True)
class Choice:
    """The chosen number of threads, torch's own choice, and the median seconds of a denoiser call with each timed
    number."""

    threads: int
    own: int
    seconds: dict[int, float] = field(default_factory=dict)
    remembered: bool = False
    instead_of: int | None = None

    def __str__(self) -> str:
        before = ", as found here before" if self.remembered else ""
        before = f", no longer {self.instead_of} as before" if self.instead_of else before
        if self.threads == self.own:
            return f"{self.own} CPU threads, torch's own choice{before}: {self._than()}"
        told = f"{self.threads} of {self.own} CPU threads{before}: {self._than()}"
        return f"{told} (--threads {self.own} for torch's own choice)"

    def _than(self) -> str:
        against = self.own if self.threads != self.own else min(self.seconds, default=self.own)
        if against == self.threads or not {against, self.threads} <= self.seconds.keys():
            return "the fastest of those timed"
        ratio = self.seconds[against] / self.seconds[self.threads]
        return f"{f'{ratio:.1f}x ' if ratio >= NEAR else ''}as fast as {against} here"


@contextmanager
def threads_set(asked: int | str | None, pipeline: Pipeline) -> Iterator[None]:
    """Makes torch compute with the threads asked for inside the context: a number, None for the present one, or
    ``auto``.

    ``auto`` is the fastest number. It is looked for on a CPU only, and not where an environment variable sets the
    number. The same command finds the same number again, so that it continues with the same trials.
    """
    number = asked if isinstance(asked, int) else None
    if asked == AUTO and pipeline.setting.device.startswith("cpu") and not told_by_user():
        number = _told(pipeline)
    with using_threads(number):
        yield


def _told(pipeline: Pipeline) -> int | None:
    """Returns the number chosen for a pipeline, and logs the choice. None where the pipeline fails, which a trial
    will report."""
    try:
        choice = chosen(pipeline)
    except MeasurementError:
        return None
    if choice.own > 1:
        logger.warning("%s.", choice)
    return choice.threads


def chosen(pipeline: Pipeline) -> Choice:
    """Returns the remembered choice for a pipeline, or else the fastest number, which is then remembered."""
    own = own_choice()
    if own == 1:
        return Choice(1, own)
    key = _key(pipeline)
    path = folder() / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}.json"
    kept = _read(path)
    found = _newly_found(pipeline, own) if kept is None else _still(pipeline, kept)
    if not found.remembered:
        try:
            save_json({"threads": found.threads, "seconds": found.seconds, "key": key}, path)
        except HastenError as error:
            logger.warning("The number of threads is not kept for later: %s", error)
    return found


def _newly_found(pipeline: Pipeline, own: int) -> Choice:
    seconds = timed(_denoiser_call(pipeline), sorted({1, min(physical_cores(), own), own}, reverse=True))
    return Choice(fastest(seconds), own, seconds)


def _still(pipeline: Pipeline, kept: Choice) -> Choice:
    """Returns the remembered choice, or one thread where several have become far slower than that.

    Another program beside can make several threads many times as slow. One thread stays the choice, so that the
    number does not change to and fro.
    """
    if kept.threads == 1:
        return kept
    now = timed(_denoiser_call(pipeline), [kept.threads, 1], FEWEST_ROUNDS)
    spoilt = now[kept.threads] > SPOILT * now[1]
    return Choice(1, kept.own, now, instead_of=kept.threads) if spoilt else kept


def remembered() -> list[tuple[str, int]]:
    """Returns the models and their remembered numbers of threads."""
    kept = [_kept(path) for path in folder().glob("*.json")]
    return sorted((one["model"], one["threads"]) for one in kept if one)


def folder() -> Path:
    """Returns the folder of remembered choices. Without its files, the next command times them anew."""
    return user_cache("threads")


def fastest(seconds: Mapping[int, float]) -> int:
    """Returns the fewest threads that are as fast as the fastest, or nearly so."""
    least = min(seconds.values())
    return min(number for number, found in seconds.items() if found <= NEAR * least)


def timed(
    call: Callable[[], object],
    numbers: Sequence[int],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Returns the median seconds of a call with each number of threads.

    The numbers are timed in turn, so that a machine that becomes busier is so for all of them. The first calls
    warm up, and show which numbers are hopeless.
    """

    def once(number: int) -> float:
        with using_threads(number):
            began = clock()
            call()
            return clock() - began

    once(numbers[0])
    first = {number: once(number) for number in numbers}
    enough = max(SLOW_S, HOPELESS * min(first.values()))
    kept = [number for number in numbers if first[number] <= enough]
    found: dict[int, list[float]] = {number: [] for number in kept}
    for turn in range(rounds if len(kept) > 1 else 0):
        if turn >= FEWEST_ROUNDS and sum(map(sum, found.values())) > LONG_S:
            break
        for number in kept if turn % 2 == 0 else reversed(kept):
            found[number].append(once(number))
    return {number: statistics.median(found.get(number) or [first[number]]) for number in numbers}


class _SeenError(Exception):
    """Ends a call of the pipeline once its denoiser was called."""


def _denoiser_call(pipeline: Pipeline) -> Callable[[], object]:
    """Returns a call of the denoiser alone, with the arguments that the pipeline gives it in the setting.

    Raises:
        MeasurementError: the pipeline cannot be called.
    """
    import torch

    given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def see(_: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        given.append((inputs, named))
        raise _SeenError

    denoiser = pipeline.denoiser
    hook = denoiser.register_forward_pre_hook(see, with_kwargs=True)
    try:
        with plan_failures():
            _until_seen(pipeline)
    finally:
        hook.remove()
    inputs, named = given[0]

    def call() -> object:
        with torch.no_grad():
            return denoiser(*inputs, **named)

    return call


def _until_seen(pipeline: Pipeline) -> None:
    try:
        pipeline.generate("search", range(pipeline.setting.batch_size), CAPTURED_STEPS)
    except _SeenError:
        return


def _key(pipeline: Pipeline) -> dict[str, Any]:
    """Returns what the fastest number depends on: the machine and its libraries, and what a denoiser call
    computes."""
    s, left_out = pipeline.setting, {*NOT_COMPARED, "threads", "hasten"}
    here = {name: value for name, value in environment(s.device, s.dtype).items() if name not in left_out}
    return {**here, "model": s.model, "size": [s.height, s.width, s.batch_size], "guided": s.guidance_scale > 1}


def _read(path: Path) -> Choice | None:
    """Returns the choice in a file, or None."""
    kept = _kept(path)
    return None if kept is None else Choice(kept["threads"], own_choice(), kept["seconds"], remembered=True)


def _kept(path: Path) -> dict[str, Any] | None:
    """Returns the content of a file, or None where it is missing or holds no choice."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        seconds = {int(number): float(found) for number, found in kept["seconds"].items()}
        return {"model": str(kept["key"]["model"]), "threads": int(kept["threads"]), "seconds": seconds}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
