"""Describes values of any kind as texts that two values share only where they have the same effect."""

from __future__ import annotations

import enum
import functools
import hashlib
import itertools
import json
import logging
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from hasten.measure.identity.code import Code
from hasten.measure.identity.names import OF_CONFIGS, OF_TOKENIZERS, ORIGIN, PLAIN, TRANSIENT, qualified
from hasten.measure.identity.tensors import checksum, layout_of

LONGEST = 240
"""The most characters of a text that is kept as it is; longer ones are hashed."""
MAX_VALUES = 200_000
"""The most values that a walk inspects. An object that leads to more refers to a whole world, and counts as
unknown."""
NAMED_ONLY = (types.ModuleType, logging.Logger, itertools.count, type(threading.Lock()), type(threading.RLock()))
"""Types whose content has no effect on images. Counters and locks differ in each process."""
OF_PYTHON = 1 << 9
"""CPython's flag of classes that are not built in: ``Py_TPFLAGS_HEAPTYPE``."""
COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch._C", "torch.fx")


class Walk:
    """Inspects values and everything that they refer to.

    Attributes:
        code: the digests of functions and classes.
        names: names of the pipeline's parts, by ``id``. Where a value refers to such a part, the name stands for
            it.
        unknown: the types of values that could not be inspected, by place.
        compiled: whether a part is compiled.
    """

    def __init__(self) -> None:
        import torch

        self.code = Code()
        self.names: dict[int, str] = {}
        self.unknown: dict[str, str] = {}
        self.compiled = False
        self._open: list[int] = []
        self._done: dict[int, tuple[Any, str]] = {}
        self._values_left = MAX_VALUES
        self._kinds: tuple[tuple[Any, Callable[[Any, str], str]], ...] = (
            (enum.Enum, lambda value, _: f"{qualified(type(value))}.{value.name}"),
            (torch.Tensor, self.tensor),
            (torch.device, lambda value, _: value.type),
            ((torch.dtype, torch.layout, torch.memory_format), lambda value, _: str(value)),
            ((torch.Generator, torch.Stream, torch.Event, *NAMED_ONLY), lambda value, _: qualified(type(value))),
            (weakref.ref, lambda value, path: self.text(value(), path)),
            (type, lambda value, _: self.code.of_class(value)),
            (types.MethodType, self._method),
            (types.FunctionType, self._function),
            ((types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType), self._builtin),
            (functools.partial, lambda v, path: self._parts("partial", (v.func, v.args, v.keywords), path)),
            (Mapping, lambda v, path: self._attributed(v, path) if _has_prefix(v) else self._mapping(v, path)),
            ((list, tuple, deque), self._sequence),
            ((set, frozenset), lambda value, path: f"set{sorted(self.text(v, path) for v in value)}"),
            (PurePath, lambda value, _: repr(str(value))),
        )

    def beside(self) -> Walk:
        """Returns another walk with the same names."""
        other = Walk()
        other.names = dict(self.names)
        return other

    def text(self, value: Any, path: str) -> str:
        """Returns the text of a value that was found at ``path``."""
        if type(value) in PLAIN:
            return _short(repr(value))
        if id(value) in self.names:
            return f"<{self.names[id(value)]}>"
        if id(value) in self._open:
            return f"<{len(self._open) - self._open.index(id(value))} up>"
        if id(value) not in self._done:
            # Keeping the value as well keeps its id from being reused.
            self._done[id(value)] = (value, self._looked_into(value, path))
        return self._done[id(value)][1]

    def attributes(self, value: Any, path: str, without: frozenset[str] = frozenset()) -> list[str]:
        """Returns a line for each attribute with a meaning. None, False and empty values mean no more than a
        missing one."""
        ignored = ORIGIN | TRANSIENT | without
        held = {name: v for name, v in _held_by(value).items() if name not in ignored and not _says_nothing(v)}
        told = ((n, v) for n, v in sorted(held.items()) if not (_is_id(v, value) or _is_own_method(n, v, value)))
        return [f"{name}={self.text(v, f'{path}.{name}')}" for name, v in told]

    def beyond(self) -> dict[str, str]:
        """Returns the texts of values that the inspected code names, by place, and those of what their code names
        in turn."""
        found: dict[str, str] = {}
        while new := sorted(self.code.values.keys() - found.keys()):
            found |= {place: self.text(self.code.values[place], place) for place in new}
        return {
            **{f"named {place}": text for place, text in found.items()},
            "code": "\n".join(sorted(self.code.called)),
        }

    def tensor(self, value: Any, path: str) -> str:
        """Returns the layout and content of a tensor. A tensor that consists of others, such as a quantised one,
        has theirs."""
        inner = getattr(value, "__tensor_flatten__", None)
        if inner is not None and type(value).__module__ != "torch.nn.parameter":
            names, context = inner()
            parts = [f"{name}={self.text(getattr(value, name), f'{path}.{name}')}" for name in names]
            return _short(f"{qualified(type(value))}({', '.join(parts)}, {self.text(context, path)})")
        more = self.attributes(value, path)
        content = self._content(value, path)
        return _short(f"{layout_of(value)} {content} {' '.join(more)}".rstrip())

    def _content(self, value: Any, path: str) -> str:
        import torch

        if value.device.type == "meta":
            return "elsewhere"
        if value.layout is not torch.strided or value.is_quantized:
            return self._not_known(value, path)
        return checksum(value)

    def _looked_into(self, value: Any, path: str) -> str:
        self._values_left -= 1
        if self._values_left < 0:
            return self._not_known(value, path)
        self._open.append(id(value))
        try:
            look_into = next((look for kinds, look in self._kinds if isinstance(value, kinds)), self._object)
            return _short(look_into(value, path))
        finally:
            self._open.pop()

    def _method(self, value: types.MethodType, path: str) -> str:
        return f"{self.text(value.__func__, path)} of {self.text(value.__self__, path)}"

    def _builtin(self, value: Any, path: str) -> str:
        owner = getattr(value, "__self__", None)
        own = "" if owner is None or isinstance(owner, types.ModuleType) else f" of {self.text(owner, path)}"
        return f"{qualified(value)}{own}"

    def _function(self, value: types.FunctionType, path: str) -> str:
        """Returns the text of a function, with its defaults and the variables of enclosing functions that it
        uses."""
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        held = {name: cell.cell_contents for name, cell in cells if not _is_empty(cell)}
        if value.__module__.startswith(COMPILERS):
            held = {name: v for name, v in held.items() if name in ("fn", "self")}
        given = {"defaults": value.__defaults__, "keywords": value.__kwdefaults__, **held}
        lines = [f"{n}={self.text(v, f'{path}.{n}')}" for n, v in sorted(given.items()) if not _says_nothing(v)]
        return " ".join([self.code.of_function(value), *lines])

    def _mapping(self, value: Mapping[Any, Any], path: str) -> str:
        config = frozenset() if "_class_name" not in value else OF_CONFIGS
        items = ((k, v) for k, v in value.items() if k not in ORIGIN and k not in config)
        lines = (f"{self.text(k, path)}: {self.text(v, f'{path}[{k!r:.40}]')}" for k, v in items)
        return f"{{{', '.join(sorted(lines))}}}"

    def _sequence(self, value: Any, path: str) -> str:
        return self._parts("", value, path)

    def _parts(self, name: str, parts: Any, path: str) -> str:
        return f"{name}[{', '.join(self.text(part, f'{path}[{i}]') for i, part in enumerate(parts))}]"

    def _object(self, value: Any, path: str) -> str:
        """Returns the text of an object of no other kind: its class with attributes or, without any, how it is
        copied."""
        module = type(value).__module__
        if hasattr(value, "tobytes") and hasattr(value, "dtype"):
            if value.dtype.hasobject:  # the bytes of such arrays are addresses
                return self.text(value.tolist(), path)
            return f"{value.dtype}{getattr(value, 'shape', ())} {hashlib.sha256(value.tobytes()).hexdigest()}"
        if module.startswith("tokenizers"):
            return _tokens(value.to_str()) if hasattr(value, "to_str") else repr(str(value))
        if module.startswith(COMPILERS):
            return self._compiler(value, path)
        return self._attributed(value, path) if _is_its_attributes(value) else self._copied(value, path)

    def _attributed(self, value: Any, path: str) -> str:
        held = getattr(value, "__dict__", {})
        without = OF_TOKENIZERS if "_tokenizer" in held else frozenset[str]()
        without |= OF_CONFIGS if "transformers_version" in held else frozenset[str]()
        return f"{self.code.of_class(type(value))}({', '.join(self.attributes(value, path, without))})"

    def _copied(self, value: Any, path: str) -> str:
        try:
            state = value.__reduce_ex__(4)
        except Exception:  # foreign code may raise anything where it cannot be copied
            state = None
        if isinstance(state, tuple):
            parts = [list(p) if isinstance(p, Iterator) else p for p in state[1:5]]
            return self._parts(f"{self.code.of_class(type(value))} {qualified(state[0])}", parts, path)
        return f"{qualified(type(value))} {state}" if state else self._not_known(value, path)

    def _compiler(self, value: Any, path: str) -> str:
        """Returns how something is compiled. The compiler's own objects change with everything that is
        compiled."""
        self.compiled = True
        plain = {n: v for n, v in _held_by(value).items() if isinstance(v, bool | str) and not _says_nothing(v)}
        options = getattr(value, "compiler_config", None)
        backend = _backend(getattr(value, "callback", None))
        told = [*(f"{n}={v!r}" for n, v in sorted(plain.items())), self.text(options, path)]
        return f"{qualified(type(value))}({', '.join(told)}, {self.text(backend, path)})"

    def _not_known(self, value: Any, path: str) -> str:
        self.unknown[path] = qualified(type(value))
        return f"unknown {qualified(type(value))}"


def _backend(callback: Any) -> Any:
    """Returns the compiler's backend from inside the wrappers that torch puts around it."""
    while (inner := getattr(callback, "_torchdynamo_orig_backend", None)) is not None and inner is not callback:
        callback = inner
    inside = type(callback).__module__.startswith(COMPILERS)
    return qualified(callback) if inside or callback is None else callback


def _tokens(told: str) -> str:
    """Returns a hash of a tokenizer of the library ``tokenizers``, without the truncation and padding of its last
    call."""
    kept = {name: value for name, value in json.loads(told).items() if name not in ("truncation", "padding")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _held_by(value: Any) -> dict[str, Any]:
    """Returns the attributes of an object, from its ``__dict__`` and from slots."""
    slots = (base.__dict__.get("__slots__", ()) for base in type(value).__mro__)
    names = (name for of in slots for name in ((of,) if isinstance(of, str) else of))
    held = {name: getattr(value, name) for name in names if name[:2] != "__" and hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def _is_its_attributes(value: Any) -> bool:
    """Returns whether attributes are all that an object consists of.

    Its classes must be Python's, and none may define how it is copied, as classes do that have other content.
    """
    own = ("__getstate__", "__reduce__", "__reduce_ex__")
    classes = [base for base in type(value).__mro__ if base is not object]
    says = any(getattr(type(value), name, None) is not getattr(object, name, None) for name in own)
    return bool(classes) and not says and all(base.__flags__ & OF_PYTHON for base in classes)


def _has_prefix(value: Any) -> bool:
    """Returns whether this is accelerate's view of offloaded weights, whose keys cannot be read one by one."""
    return type(value).__name__ == "PrefixedDataset"


def _says_nothing(value: Any) -> bool:
    if type(value).__name__ == "HookRegistry" and not value.hooks:
        return True
    return value is None or value is False or (isinstance(value, dict | list | tuple | set | deque) and not value)


def _is_id(value: Any, owner: Any) -> bool:
    """Returns whether an object holds its own ``id``, which differs in every process."""
    return type(value) in (int, str) and str(value) == str(id(owner))


def _is_own_method(name: str, value: Any, owner: Any) -> bool:
    """Returns whether this is the class's own method of that name, which hooks put back when they are removed."""
    bound = isinstance(value, types.MethodType) and value.__self__ is owner
    return bound and value.__func__ is getattr(type(owner), name, None)


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
