"""Builds flags from the table of options. A command names its options and gets them as keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any

import typer

from hasten.options import OPTIONS, Option, option
from hasten.options.table import OUTPUT, REQUEST, SEARCH, SETTING

Command = Callable[..., None]
REQUEST_NAMES, SETTING_NAMES, SEARCH_NAMES = (
    tuple(one.name for one in OPTIONS if one.group == group and one.flags) for group in (REQUEST, SETTING, SEARCH)
)
CHOICES = (*SETTING_NAMES, *SEARCH_NAMES)
"""The options that every searching command takes."""
SCRIPTS = ("runtime", "verify", "allow_known_wrong")
Json = Annotated[
    bool,
    typer.Option("--json", help="Standard output is one JSON document and nothing else.", rich_help_panel=OUTPUT),
]


def takes(*names: str, **defaults: Any) -> Callable[[Command], Command]:
    """Returns a decorator that adds options of the table to a command. ``defaults`` replace the table's own."""
    return lambda command: _with_options(command, [*names, *defaults], defaults)


def _with_options(command: Command, names: list[str], defaults: dict[str, Any]) -> Command:
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
    flags = [f"--{flag}" + f"/--no-{flag}" * (one.is_switch and default is True) for flag in one.flags]
    annotation = Annotated[kind, typer.Option(*flags, **how)]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flag_of(name: str) -> str:
    """Returns an option as it is written on the command line."""
    return f"--{option(name).flags[0]}"


def is_given(name: str, value: Any) -> bool:
    """Returns whether an option was given a value other than its default."""
    return value != option(name).default
