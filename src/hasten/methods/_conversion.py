"""How a method converts weights. It imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Place = tuple[dict[str, Any], str]
"""The namespace of a module that holds a tensor, ``_parameters`` or ``_buffers``, and the tensor's name in it."""


class Conversion(NamedTuple):
    """What a method makes of the weights of a module and of the modules inside it.

    Attributes:
        chosen: returns the places of the tensors that are converted; it is asked at the beginning of every run.
        data: returns the data to compute with, of another dtype or layout, made from that of one tensor.
        check: raises CallError where the weights have meanwhile become such that they cannot be converted.
        costly: whether ``data`` takes much longer than reading a tensor once. It is then called again only for
            tensors whose numbers have changed.
    """

    chosen: Callable[[Any], Iterable[Place]]
    data: Callable[[Any], Any]
    check: Callable[[], None] = lambda: None
    costly: bool = False
