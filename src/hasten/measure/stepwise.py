"""Times calls step by step, so that other work that disturbs a few steps of a call counts little.

A call is cut where the denoiser is called. Its duration is the sum over its pieces of each piece's lower quartile
over all calls. A burst of other work hits a few pieces of a call, so that most whole calls contain one; a slow
stretch hits a call and those after it. Both only ever add time. On restless machines two calls in five were slowed
down: a median over nine calls is then sometimes that of a slow call, and a quartile hardly ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from hasten.measure.timing import PartsOf, Stopwatch, stopwatch, synchronise

if TYPE_CHECKING:
    import torch

Calls = Sequence[Sequence[float]]
"""Seconds of the pieces of each call: up to the denoiser's first call, from each of its calls to the next, and the
rest."""
CLOCK = stopwatch("cpu")


@contextmanager
def cut(denoisers: Iterable[torch.nn.Module], device: str = "cpu", watch: Stopwatch = CLOCK) -> Iterator[PartsOf]:
    """Yields a function that returns the pieces since it was last called, by their number.

    The cuts are marked by ``watch``. The clock marks when the denoiser is called, which on a GPU that lags behind
    is before it computes, so that nearly all of a call would be its last piece. Marks on the ``device`` are read
    after it has done its work.
    """
    mark, seconds = watch
    marks: list[Any] = []
    handles = [
        denoiser.register_forward_pre_hook(lambda *_: marks.append(mark()), prepend=True) for denoiser in denoisers
    ]

    def since_last() -> dict[str, float]:
        ends = [*marks, mark()]
        synchronise(device)
        found = {str(i): seconds(start, end) for i, (start, end) in enumerate(pairwise(ends))}
        marks[:] = [mark()]
        return found

    try:
        yield since_last
    finally:
        for handle in handles:
            handle.remove()


def pieces_of(call: Callable[[], object], denoiser: torch.nn.Module, device: str, watch: Stopwatch) -> list[float]:
    """Returns the seconds of the pieces of one call, alone on the device."""
    with cut([denoiser], device, watch) as since_last:
        synchronise(device)
        since_last()
        call()
        synchronise(device)
        return list(since_last().values())


def seconds_of(calls: Calls) -> float:
    """Returns the duration of a call, from several calls with equally many pieces."""
    return sum(undisturbed(piece) for piece in zip(*calls, strict=True))


def undisturbed(seconds: Iterable[float]) -> float:
    """Returns the lower quartile of durations that other work can only lengthen."""
    found = list(seconds)
    return quantiles(found, n=4, method="inclusive")[0] if len(found) > 1 else found[0]
