"""Identifies functions and classes by their code and by what this names.

A method that was replaced on a class, a helper that was replaced in its module, and an attention processor that a
script changes from run to run keep their name and have another effect. So does a processor that reads a setting
from a global, from another module of the user's own, or from the environment.
"""

from __future__ import annotations

import hashlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

from hasten.measure.identity.names import PLAIN, qualified

MAKING = ("__init__", "__new__", "__setstate__")
"""Methods that create an object. The object itself is inspected, and torch.compile wraps these methods of all
modules in counters when it is first used."""


class Code:
    """Digests of the code of classes and functions, each made once.

    ``called`` has a line for each function that they call by name, and for those that these call in turn.
    ``values`` has everything else that the user's own code names, by place, because no version number changes with
    it.
    """

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.values: dict[str, Any] = {}
        self._classes: dict[type, str] = {}
        self._codes: dict[types.CodeType, str] = {}
        self._followed: set[types.FunctionType] = set()

    def of_class(self, cls: type) -> str:
        """Returns the name of a class, and a digest of everything that it and its base classes define."""
        if cls not in self._classes:
            told = [line for base in cls.__mro__ if base is not object for line in self._own(base)]
            self._classes[cls] = f"{qualified(cls)} {_digest(told)}" if told else qualified(cls)
        return self._classes[cls]

    def of_function(self, function: types.FunctionType) -> str:
        """Returns the name of a function, and a digest of its code."""
        self._follow(function)
        return f"{qualified(function)} {self._of_code(function.__code__)}"

    def _own(self, cls: type) -> Iterator[str]:
        installed = _is_installed(cls.__module__)
        for name, value in sorted(vars(cls).items()):
            if name in MAKING:
                continue
            for function in (functions := _functions_in(value)):
                yield f"{name} {self.of_function(function)}"
            if not (installed or functions or name.startswith(("__", "_abc_")) or _is_plain(value)):
                self.values[f"{qualified(cls)}.{name}"] = value
            if not name.startswith("_" if installed else "__") and _is_plain(value):
                yield f"{name}={value!r}"

    def _follow(self, function: types.FunctionType) -> None:
        """Records the functions that the code calls. Those of its own package are followed; other packages have
        versions."""
        pending = [function]
        while pending:
            caller = pending.pop()
            if caller in self._followed:
                continue
            self._followed.add(caller)
            for name, used in _used(caller):
                if isinstance(used, types.FunctionType):
                    self.called.add(f"{name}={qualified(used)}:{self._of_code(used.__code__)}")
                    pending += [used] if _package(used) == _package(caller) != "torch" else []
                elif _is_function(used):
                    self.called.add(f"{name}={qualified(used)}")
                elif _is_plain(used):
                    self.called.add(f"{name}={used!r}")
                else:
                    self.values[f"{caller.__module__}.{name}"] = used

    def _of_code(self, code: types.CodeType) -> str:
        if code not in self._codes:
            constants = [
                self._of_code(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts
            ]
            told = [code.co_code.hex(), *code.co_names, *code.co_varnames, *code.co_freevars, *constants]
            self._codes[code] = _digest(told)
        return self._codes[code]


def _functions_in(value: Any) -> list[types.FunctionType]:
    """Returns the functions in a class attribute: in a method of any kind or a property, also under decorators."""
    if isinstance(value, property):
        return [f for f in (value.fget, value.fset) if isinstance(f, types.FunctionType)]
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    found = [value, *_wrapped(value)]
    return [f for f in found if isinstance(f, types.FunctionType)]


def _wrapped(value: Any) -> Iterator[Any]:
    """Yields the functions that decorators wrap, from the outside in."""
    seen = {id(value)}
    while (value := getattr(value, "__wrapped__", None)) is not None and id(value) not in seen:
        seen.add(id(value))
        yield value


def _used(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yields what the code names: functions among its globals, and functions of modules that it names.

    For a script of the user's own these are also all other values, and the environment variables that it reads by
    name.
    """
    names, own = set(_names(function.__code__)), not _is_installed(function.__module__)
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    if own:  # modules that are imported inside the function are not among its globals
        found |= {name: sys.modules[name] for name in names if name in sys.modules and name not in found}
    for name, value in found.items():
        if _is_module(value):
            whole = own and not _is_installed(value.__name__)
            inside = ((n, vars(value)[n]) for n in names if n in vars(value))
            yield from ((f"{name}.{n}", v) for n, v in inside if _is_function(v) or (whole and not _is_module(v)))
        elif _is_function(value) or own:
            yield name, value
    if own and names & {"environ", "getenv"}:
        texts = {*_constants(function.__code__), *(text for text in found.values() if isinstance(text, str))}
        yield from ((f"environ[{text}]", os.environ[text]) for text in texts if text in os.environ)


def _names(code: types.CodeType) -> Iterator[str]:
    return (name for each in _nested(code) for name in each.co_names)


def _constants(code: types.CodeType) -> Iterator[str]:
    return (text for each in _nested(code) for text in each.co_consts if isinstance(text, str))


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yields the code itself and that of all functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _is_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType)


def _is_function(value: Any) -> bool:
    return isinstance(value, types.FunctionType | types.BuiltinFunctionType)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def _package(function: types.FunctionType) -> str:
    return str(function.__module__).partition(".")[0]


def _is_installed(module: str | None) -> bool:
    """Returns whether the module belongs to an installed package, whose version is known, and not to the user."""
    if module and module.partition(".")[0] == "hasten":
        return True
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file or file.startswith(sys.base_prefix)


def _constant(value: Any) -> str:
    """Returns the text of a constant. Sets are sorted, as their order varies."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _digest(lines: list[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
