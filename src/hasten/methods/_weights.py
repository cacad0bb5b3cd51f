"""The weights that a module computes with during its calls, converted by methods from those that it has.

A module has its own weights at all other times. Whoever loads, fuses, saves or moves weights finds them as they
are without any method, so that nothing is rounded for good and removal has nothing to put back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from hasten.methods._baked import Baked
from hasten.methods._conversion import Conversion, Place
from hasten.methods.base import State


def places(module: Any) -> Iterator[Place]:
    """Yields the places of all floating-point parameters and buffers of a module and of the modules inside it."""
    for inner in module.modules():
        for held in (inner._parameters, inner._buffers):
            yield from ((held, name) for name, t in held.items() if t is not None and t.is_floating_point())


@dataclass
class _Made:
    """A tensor of the module, and the one that stands in for it during calls."""

    own: Any
    identity: tuple[Any, ...]
    chain: list[Conversion]
    places: list[Place] = field(default_factory=list)
    data: Any = None
    digest: int | None = None

    @property
    def costly(self) -> bool:
        return any(conversion.costly for conversion in self.chain)

    def make(self) -> None:
        data = self.own.data
        for conversion in self.chain:
            data = conversion.data(data)
        is_parameter = isinstance(self.own, torch.nn.Parameter)
        self.data = torch.nn.Parameter(data, requires_grad=False) if is_parameter else data


class Weights:
    """The converted weights of one module, the *host*, put in place during its calls."""

    def __init__(self, host: Any, follows_runs: bool) -> None:
        """``follows_runs``: whether ``fresh`` tells when a run begins. Otherwise each call is a run of its own."""
        self._host, self._follows_runs = host, follows_runs
        self._conversions: list[tuple[int, str, Conversion]] = []
        self._made: dict[int, _Made] = {}
        self._swaps: list[tuple[dict[str, Any], str, Any, Any]] = []
        self._baked: Baked | None = None
        self._stale, self._depth, self._lock = True, 0, threading.RLock()

    def add(self, order: int, name: str, conversion: Conversion) -> None:
        """Adds the conversion of a method and converts the weights. Those of a smaller order come first."""
        self._conversions.append((order, name, conversion))
        self._conversions.sort(key=lambda entry: entry[0])
        self._refresh()

    def keeps_any_without(self, name: str) -> bool:
        """Drops the conversion of that name and returns whether any are left."""
        self._conversions = [entry for entry in self._conversions if entry[1] != name]
        self._stale = True
        return bool(self._conversions)

    def fresh(self, conversion: Conversion) -> Fresh:
        """Returns a new state of the method whose conversion this is, which tells when a run begins."""
        return Fresh(self, conversion)

    def expire(self) -> None:
        """Makes the next call read the module's own weights again."""
        self._stale = True

    def rest(self) -> None:
        """Drops the converted weights where accelerate moves the host to the device and off again, to save memory
        there."""
        if hasattr(self._host, "_hf_hook") and not self._depth:
            self._made, self._swaps, self._stale = {}, [], True

    def wrapper(self, call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs a call of the host with the converted weights in place."""
        self._enter()
        try:
            return call_next(*args, **kwargs)
        finally:
            self._exit()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _enter(self) -> None:
        with self._lock:
            if not self._depth:
                if self._stale or not self._follows_runs or not self._holds():
                    self._refresh()
                for held, name, _, made in self._swaps:
                    held[name] = made
            self._depth += 1

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _exit(self) -> None:
        with self._lock:
            self._depth -= 1
            if not self._depth:
                for held, name, own, made in self._swaps:
                    if held.get(name) is made:
                        held[name] = own

    def _holds(self) -> bool:
        """Returns whether nobody has loaded or fused adapters since the run began, as callbacks of a pipeline
        may."""
        return self._baked is not None and self._baked.holds()

    def _refresh(self) -> None:
        """Converts the weights that the host has now. Where a tensor is the same as before, its numbers are copied
        again, because nothing tells whether they have changed."""
        before, self._made = self._made, {}
        for _, _, conversion in self._conversions:
            for place in conversion.chosen(self._host):
                own = place[0][place[1]]
                made = self._made.setdefault(id(own), _Made(own, _identity(own), []))
                if place not in made.places:
                    made.places.append(place)
                if conversion not in made.chain:
                    made.chain.append(conversion)
        with torch.no_grad():
            _convert(self._made, before)
        self._swaps = [(*place, m.own, m.data) for m in self._made.values() for place in m.places]
        self._baked, self._stale = (Baked(self._host) if self._follows_runs else None), False


class Fresh(State):
    """Lets the weights be converted anew at the beginning of each run."""

    def __init__(self, weights: Weights, conversion: Conversion) -> None:
        self._weights, self._conversion, self._begins = weights, conversion, True

    def start(self) -> None:
        self._begins = True
        self._weights.rest()

    def refresh(self) -> None:
        """Does nothing: weights do not depend on the layout of the batch."""

    def step(self, number: int) -> None:
        if self._begins:
            self._conversion.check()
            self._weights.expire()
        self._begins = False


def _convert(wanted: dict[int, _Made], before: dict[int, _Made]) -> None:
    """Makes the data of all ``wanted``, with as much as possible of what was made before."""
    same = []
    for key, made in wanted.items():
        old = before.get(key)
        if old is not None and (old.own, old.identity, old.chain) == (made.own, made.identity, made.chain):
            made.data, made.digest = old.data, old.digest
            same.append(made)
        else:
            made.make()
    cheap = [made for made in same if not made.costly]
    if cheap:
        torch._foreach_copy_([made.data for made in cheap], [made.own.data for made in cheap])
    costly = [made for made in wanted.values() if made.costly]
    for made, digest in zip(costly, _digests([made.own for made in costly]), strict=True):
        if made.digest not in (None, digest):
            made.make()
        made.digest = digest


def _identity(own: Any) -> tuple[Any, ...]:
    return own.data_ptr(), own.dtype, own.device, own.shape, own.stride()


def _digests(tensors: list[Any]) -> list[int]:
    """Returns for each tensor the exact sum of its numbers' bits, read as integers."""
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [tensor.data.view(kinds[tensor.element_size()]).sum() for tensor in tensors]
    return [int(n) for n in torch.stack(sums).tolist()] if sums else []
