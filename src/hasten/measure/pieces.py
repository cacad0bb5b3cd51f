"""Calls timed step by step: what a machine's other work does to a few steps of a call then counts little.

A call is cut where the denoiser is called. What it takes is the sum over its pieces of each piece's lower quartile
over all calls. A burst of other work falls on a few pieces of a call, and most whole calls hold one; a slow
stretch falls on a call and those after it. Both only ever add time. On restless machines two calls in five were
slowed down: a median over nine of them is then sometimes one of a slow call, and the quartile hardly ever.
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
"""Seconds of the pieces of each call: up to the denoiser's first one, from each of those to the next, the rest."""
CLOCK = stopwatch("cpu")


@contextmanager
def cut(denoisers: Iterable[torch.nn.Module], device: str = "cpu", watch: Stopwatch = CLOCK) -> Iterator[PartsOf]:
    """Yields a function that gives the pieces since it was last asked, by their number.

    ``watch``: what the cuts are marked with. The clock tells when the denoiser is called, which on a GPU that lags
    behind is before it computes: nearly all of a call is its last piece then. Marks on the ``device`` are read
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
    """Seconds of the pieces of one call, alone on the device."""
    with cut([denoiser], device, watch) as since_last:
        synchronise(device)
        since_last()
        call()
        synchronise(device)
        return list(since_last().values())


def seconds_of(calls: Calls) -> float:
    """What a call takes. All have equally many pieces."""
    return sum(undisturbed(piece) for piece in zip(*calls, strict=True))


def undisturbed(seconds: Iterable[float]) -> float:
    """The lower quartile of what other work only ever lengthens."""
    found = list(seconds)
    return quantiles(found, n=4, method="inclusive")[0] if len(found) > 1 else found[0]
