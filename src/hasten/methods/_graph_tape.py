"""Recorded calls of a denoiser: CUDA graphs with the tensors that they read and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

from hasten.errors import MeasurementError

Slot = tuple[int, object]
"""The number of a call in its run (0 where calls do not depend on it), and the signature of its inputs."""


class _Leaves(NamedTuple):
    """The flattened inputs of a call. ``signature`` holds everything but the numbers in the tensors: a graph
    serves all calls of equal signature."""

    leaves: list[Any]
    spec: Any
    signature: object

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Leaves:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        kinds = tuple(
            (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves
        )
        return cls(leaves, spec, (kinds, str(spec)))


class Tape:
    """The graphs of a denoiser, each recorded after ``warm_up`` calls.

    With ``by_call``, a call reads what earlier calls of its run have stored. A run is then recorded call by call
    and replayed in the same order, in one shared pool of memory, so that stored tensors lie where later calls were
    recorded to read them. Without it, one graph serves all calls of a signature.
    """

    def __init__(self, warm_up: int, by_call: bool) -> None:
        self._warm_up, self._by_call = warm_up, by_call
        self._pool: Any = None
        self._graphs: dict[Slot, _Graph] = {}
        self._recording = True

    def begin(self) -> None:
        """Notes that a run begins."""
        self._recording = not (self._by_call and self._graphs)

    def call(
        self, number: int, call_next: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Makes call ``number`` of the run by a replay where it is recorded, and otherwise records it first.

        Raises:
            MeasurementError: the call cannot be recorded.
        """
        given = _Leaves.of(args, kwargs)
        slot = (number if self._by_call else 0, given.signature)
        if slot not in self._graphs:
            if not self._recording or (self._by_call and len(self._graphs) != number):
                # This run differs from the recorded one, and what methods stored then is gone: they compute anew.
                self._graphs.clear()
                self._pool, self._recording = None, False
                return call_next(*args, **kwargs)
            self._graphs[slot] = self._record(call_next, given)
        return self._graphs[slot].replay(given.leaves)

    def _record(self, call_next: Callable[..., Any], given: _Leaves) -> _Graph:
        if self._by_call and self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return _Graph(call_next, given, self._warm_up, self._pool)


class _Graph:
    """One recorded call. ``pool`` is the memory that it shares with other graphs; None gives it memory of its
    own."""

    def __init__(self, call_next: Callable[..., Any], given: _Leaves, warm_up: int, pool: Any) -> None:
        device = next(leaf.device for leaf in given.leaves if _on_gpu(leaf))
        self._inputs = [
            leaf.to(device, copy=True) if isinstance(leaf, torch.Tensor) else leaf for leaf in given.leaves
        ]
        args, kwargs = pytree.tree_unflatten(self._inputs, given.spec)
        for _ in range(warm_up):
            call_next(*args, **kwargs)
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        try:
            with torch.cuda.stream(stream):
                self._output = self._captured(call_next, args, kwargs, pool)
        except RuntimeError as error:
            raise MeasurementError(
                f"CUDA graph: a call of the denoiser cannot be recorded: {str(error).splitlines()[0]} "
                "Remove the method, or the one beside it."
            ) from error
        torch.cuda.current_stream(device).wait_stream(stream)

    def _captured(self, call_next: Callable[..., Any], args: Any, kwargs: Any, pool: Any) -> Any:
        # Not torch.cuda.graph, which would collect garbage and empty the cache at every call of a run.
        shared = {} if pool is None else {"pool": pool}
        self._graph.capture_begin(**shared, capture_error_mode="thread_local")
        try:
            return call_next(*args, **kwargs)
        finally:
            self._graph.capture_end()

    def replay(self, leaves: list[Any]) -> Any:
        """Returns the output for these inputs, as tensors of its own."""
        for kept, leaf in zip(self._inputs, leaves, strict=True):
            if isinstance(leaf, torch.Tensor):
                kept.copy_(leaf)
        self._graph.replay()
        return pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, self._output)


def _on_gpu(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_cuda
