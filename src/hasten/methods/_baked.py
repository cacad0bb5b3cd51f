"""Plain Python values that a denoiser computes with: scales of adapters, FreeU's factors, attention processors.

A recorded call has them baked in, and a change of them tells that adapters were loaded or fused. It imports no
torch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from enum import Enum
from operator import itemgetter
from typing import Any

PLAIN = (bool, int, float, complex, str, Enum, type(None))
NOT_TOLD = ("_parameters", "_buffers", "_modules", "_internal_dict", "_non_persistent_buffers_set", "_hf_hook")
"""Containers of modules that hold no values to compute with, or those that are told from elsewhere."""
HOOKS = ("_forward_", "_backward_", "_state_dict_", "_load_state_dict_", "_diffusers_hook", "_hasten")
"""What the names of attributes begin with that hold hooks of torch, of diffusers and of hasten."""
CONSTANT = "torch.nn.modules."
"""Where classes of modules come from whose attributes nobody changes."""


class Baked:
    """The modules of a denoiser and the plain values in them and in their attention processors, at one time.

    Example:
        >>> baked = Baked(pipe.unet)
        >>> pipe.set_adapters("style", 0.5)
        >>> baked.holds()
        False
    """

    def __init__(self, denoiser: Any) -> None:
        modules = list(denoiser.modules())
        self._inner = modules[1:]  # without the denoiser, which what is recorded for it must not keep alive
        self._watched = [_Watched(vars(thing)) for thing in _things(modules)]

    def holds(self) -> bool:
        """Returns whether all values are those that they were. It takes less than a millisecond, and does not look
        for modules that are new; libraries that put some in note it on the denoiser itself."""
        return all(watched.holds() for watched in self._watched)

    def is_of(self, denoiser: Any) -> bool:
        """Returns whether the modules inside the denoiser are the very same still, with the same values."""
        inner = list(denoiser.modules())[1:]
        return len(inner) == len(self._inner) and all(map(_is, inner, self._inner)) and self.holds()


class _Watched:
    """The attributes of one object. Values that cannot be changed in place are compared at C's speed."""

    __slots__ = ("_fixed", "_found", "_kept", "_mutable", "_number", "_read")

    def __init__(self, found: dict[str, Any]) -> None:
        fixed = [name for name, value in found.items() if isinstance(value, PLAIN) or name == "processor"]
        self._found, self._number = found, len(found)
        self._read = itemgetter(*fixed) if fixed else _nothing
        self._fixed = self._read(found)
        self._mutable = [n for n, v in found.items() if isinstance(v, dict | list | tuple | set) and _is_told(n)]
        self._kept = [_frozen(found[name]) for name in self._mutable]

    def holds(self) -> bool:
        found = self._found
        if len(found) != self._number:
            return False
        try:
            if self._read(found) != self._fixed:
                return False
            return not self._mutable or [_frozen(found[name]) for name in self._mutable] == self._kept
        except KeyError:
            return False


def _things(modules: list[Any]) -> Iterator[Any]:
    """Yields what may be changed: modules but torch's own, and attention processors that are no modules."""
    for module in modules:
        if not type(module).__module__.startswith(CONSTANT):
            yield module
            if hasattr(processor := vars(module).get("processor"), "__dict__"):
                yield processor


def _is(one: Any, other: Any) -> bool:
    return one is other


def _nothing(found: dict[str, Any]) -> None:
    return None


def _is_told(name: str) -> bool:
    return name not in NOT_TOLD and not name.startswith(HOOKS)


def _frozen(value: Any) -> Hashable:
    """Returns a copy that later changes of this value leave alone. Objects that are no plain values stand for
    themselves."""
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, set | frozenset):
        return frozenset(map(_frozen, value))
    return value if isinstance(value, PLAIN) else _Same(value)


class _Same:
    """Equal to what holds the very same object, which it keeps alive so that no other gets its id."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)
