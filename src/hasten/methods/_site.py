"""Wraps the ``forward`` of a module and the calls of a pipeline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import MethodType, new_class
from typing import Any, NamedTuple

from hasten.errors import InputError

Wrapper = Callable[..., Any]
"""A function ``wrapper(call_next, module, *args, **kwargs)`` that calls ``call_next(*args, **kwargs)`` or does
without."""

HOOKS = ("accelerate.hooks", "diffusers.hooks.hooks")
"""The modules of libraries whose hooks put a ``forward`` of their own on a module, and keep the previous one."""
HEAP_TYPE = 1 << 9
"""CPython's flag of classes that are made at run time; only objects of these can be given another class."""


class Wrappers:
    """The wrappers of several methods around one callable; a smaller ``Method.order`` is nearer to it."""

    def __init__(self, target: Any, original: Callable[..., Any]) -> None:
        self.target, self.original = target, original
        self.call = original
        self._wrappers: list[tuple[int, str, Wrapper]] = []

    def add(self, order: int, name: str, wrapper: Wrapper) -> None:
        self._wrappers.append((order, name, wrapper))
        self._wrappers.sort(key=lambda entry: entry[0])
        self._compose()

    def keeps_any_without(self, name: str) -> bool:
        """Drops the wrappers of that name and returns whether any are left. Without any, the target is
        restored."""
        left = [entry for entry in self._wrappers if entry[1] != name]
        if len(left) < len(self._wrappers):
            self._wrappers = left
            self._compose()
            if not left:
                self.restore()
        return bool(left)

    def restore(self) -> None:
        """Gives the target back what it had."""
        raise NotImplementedError

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise InputError(refusal(self.target))

    def _compose(self) -> None:
        call = self.original
        for _, _, wrapper in self._wrappers:
            call = functools.partial(wrapper, call, self.target)
        self.call = call


def refusal(target: Any) -> str:
    """Returns the message for copying or pickling something that methods are applied to."""
    return (
        f"Methods are applied to the {type(target).__name__}, and a copy of it would compute with what the "
        "original has: remove the plan before you copy or pickle it, and apply it to the copy."
    )


class Site(Wrappers):
    """The wrapped ``forward`` of one module, placed beneath the hooks of accelerate and diffusers.

    Those hooks keep the ``forward`` that they found and put it back when they are removed, as happens after each
    call of an offloaded pipeline.
    """

    def __init__(self, module: Any, is_active: Callable[[], bool]) -> None:
        """Puts the new ``forward`` in place. Where ``is_active`` returns False, calls pass by the wrappers."""
        place = _own_place(module)
        self._previous = place.found  # None where the module uses the forward of its class
        super().__init__(module, module.forward if self._previous is None else self._previous)
        self._is_active = is_active
        self._forward = functools.update_wrapper(functools.partial(_run_through, self), self.original)
        place.put(self._forward)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Returns the output of the module's forward."""
        return (self.call if self._is_active() else self.original)(*args, **kwargs)

    @property
    def is_replaced(self) -> bool:
        """Whether the module has again the forward that it had before. A forward that somebody put around ours is
        not that one."""
        found = _own_place(self.target).found
        return found is None or found is self._previous or _is_of_class(found, self.target)

    def restore(self) -> None:
        place = next((place for place in _places(self.target) if place.found is self._forward), None)
        if place is None:
            return  # another library has wrapped our forward and keeps it; from here on it only passes calls on
        if self._previous is None and place.holder is vars(self.target) and place.name == "forward":
            del self.target.forward
        else:
            place.put(self.original)


def _run_through(site: Site, *args: Any, **kwargs: Any) -> Any:
    return site.run(args, kwargs)


class _Place(NamedTuple):
    """An entry of a namespace that holds a ``forward``."""

    holder: dict[str, Any]
    name: str

    @property
    def found(self) -> Any:
        return self.holder.get(self.name)

    def put(self, forward: Callable[..., Any]) -> None:
        self.holder[self.name] = forward


def _places(module: Any) -> Iterator[_Place]:
    """Yields the places of all forwards of a module: first those in diffusers' hooks, then accelerate's, then its
    own."""
    for reference in getattr(vars(module).get("_diffusers_hook"), "_fn_refs", ()):
        kept = vars(reference)
        yield _Place(kept, "forward" if kept.get("original_forward") is None else "original_forward")
    if "_old_forward" in vars(module):
        yield _Place(vars(module), "_old_forward")
    yield _Place(vars(module), "forward")


def _own_place(module: Any) -> _Place:
    """Returns the place of the module's own forward, beneath all hooks."""
    places = [place for place in _places(module) if not _is_hook(place.found)]
    outermost = _Place(vars(module), "forward")
    if outermost.found is None or not places:
        return outermost
    return next((place for place in places if _is_of_class(place.found, module)), places[0])


def _is_hook(forward: Any) -> bool:
    """Returns whether accelerate or diffusers made this forward, which calls the one that their hook keeps."""
    return isinstance(forward, functools.partial) and getattr(forward.func, "__module__", None) in HOOKS


def _is_of_class(forward: Any, module: Any) -> bool:
    return isinstance(forward, MethodType) and forward.__func__ is type(module).forward


class Calls(Wrappers):
    """The wrapped calls of one pipeline.

    Python looks up ``__call__`` in the class alone, so that the pipeline meanwhile has a class of its own with the
    same name.
    """

    @staticmethod
    def can_be_wrapped(pipe: Any) -> bool:
        """Returns whether the pipeline can be called and can be given another class."""
        return callable(pipe) and bool(type(pipe).__flags__ & HEAP_TYPE)

    def __init__(self, pipe: Any) -> None:
        self._kind = type(pipe)
        super().__init__(pipe, functools.partial(self._kind.__call__, pipe))
        pipe.__class__ = _called_through(self, self._kind)

    def restore(self) -> None:
        """Gives the pipeline its class back. Classes put on top by methods of other denoisers go, too, once they
        have no wrappers left."""
        site = vars(type(self.target)).get("_hasten_calls")
        while isinstance(site, Calls) and not site._wrappers:
            self.target.__class__ = site._kind
            site = vars(type(self.target)).get("_hasten_calls")


def _called_through(calls: Calls, kind: Any) -> type:
    @functools.wraps(kind.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return calls.call(*args, **kwargs) if self is calls.target else kind.__call__(self, *args, **kwargs)

    def body(namespace: dict[str, Any]) -> None:
        namespace |= {"__call__": call, "__module__": kind.__module__, "__doc__": kind.__doc__}
        namespace |= {"__qualname__": kind.__qualname__, "_hasten_calls": calls}

    return new_class(kind.__name__, (kind,), exec_body=body)
