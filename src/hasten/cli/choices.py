"""Builds flags from the table of options. A command names its options and gets them as keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Annotated, Any

import typer

from hasten.options import OPTIONS, Option, option
from hasten.options.table import OUTPUT, REQUEST
from hasten.options.taken import taken

Command = Callable[..., None]
REQUEST_NAMES = tuple(one.name for one in OPTIONS if one.group == REQUEST)
SCRIPTS = ("runtime", "verify", "allow_known_wrong")
Json = Annotated[
    bool,
    typer.Option("--json", help="Standard output is one JSON document and nothing else.", rich_help_panel=OUTPUT),
]


def takes(function: str, but: Iterable[str] = (), **defaults: Any) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options of a function to its command.

    Args:
        function: the name of the function, of ``hasten.options.taken``.
        but: the options that the command declares itself, because it takes them as lists or in other words. Their
            flags are those of ``flags_of``.
        defaults: values that replace the table's own.
    """
    own = set(but)
    return adds(*(name for name in taken(function) if name not in own and option(name).flags), **defaults)


def adds(*names: str, **defaults: Any) -> Callable[[Command], Command]:
    """Returns a decorator that adds options of the table to a command."""
    return lambda command: _with_options(command, names, defaults)


def _with_options(command: Command, names: Sequence[str], defaults: dict[str, Any]) -> Command:
    @wraps(command)
    def run(**given: Any) -> None:
        command(**given)

    own = inspect.signature(command, eval_str=True)
    its = own.parameters.values()
    parameters = [p for p in its if p.name not in names and p.kind is not inspect.Parameter.VAR_KEYWORD]
    wanted = [one for one in OPTIONS if one.name in names]
    parameters += [
        _parameter(one, defaults.get(one.name, one.default if one.unset is None else one.unset)) for one in wanted
    ]
    vars(run)["__signature__"] = own.replace(parameters=parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del vars(run)["__wrapped__"]
    return run


def _parameter(one: Option, default: Any) -> inspect.Parameter:
    how: dict[str, Any] = {"help": one.meaning, "rich_help_panel": one.group}
    kind: Any = bool
    if not one.is_switch:
        kind = list[str] | None if one.repeated else str | None
        how["metavar"] = one.metavar
        if not one.repeated:
            how["parser"] = partial(one.read, flag_of(one.name))
    off = one.is_switch and default is True
    flags = [f"--{flag}" + f"/--no-{flag}" * off for flag in one.flags]
    annotation = Annotated[kind, typer.Option(*flags, **how)]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flags_of(name: str) -> tuple[str, ...]:
    """Returns all flags of an option as they are written on the command line."""
    return tuple(f"--{flag}" for flag in option(name).flags)


def flag_of(name: str) -> str:
    """Returns an option as it is written on the command line."""
    return flags_of(name)[0]


def is_given(name: str, value: Any) -> bool:
    """Returns whether an option was given a value other than its default."""
    return value != option(name).default
