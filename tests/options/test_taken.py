"""Every function and its command take the same options; each is declared once, in the table."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

import hasten.api
import hasten.cli
from hasten.errors import InputError
from hasten.options import OPTIONS, canonical, option
from hasten.options.table import REQUEST
from hasten.options.taken import KEYWORDS_ONLY, LEFT_OUT, SEVERAL, taken
from hasten.workflow.choices import Choices, ScriptChoices, asked

COMMANDS: dict[str, Any] = dict(typer.main.get_command(hasten.cli.app).commands)  # type: ignore[attr-defined]
IN_REQUESTS = {one.name for one in OPTIONS if one.group == REQUEST}
"""The options that a request, a matrix or the pipeline of ``tune`` says in Python."""
UNION = {**get_type_hints(Choices), **get_type_hints(ScriptChoices)}


def flags(command: str) -> dict[str, set[str]]:
    """The flags of each option of a command that has any of the option's flags."""
    of_option = {f"--{flag}": one.name for one in OPTIONS for flag in one.flags}
    found: dict[str, set[str]] = {}
    for parameter in COMMANDS[command].params:
        if parameter.param_type_name == "option":
            for name in {of_option[flag] for flag in parameter.opts if flag in of_option}:
                found[name] = set(parameter.opts)
    return found


def keywords(function: str) -> set[str]:
    """The keyword arguments of a function of ``hasten.api``, and those of its choices."""
    signature = inspect.signature(getattr(hasten.api, function))
    written = str(signature.parameters["choices"].annotation)
    choices = ScriptChoices if "ScriptChoices" in written else Choices
    return {*signature.parameters, *get_type_hints(choices)}


def test_every_exception_is_of_an_option_and_has_a_reason() -> None:
    names = {one.name for one in OPTIONS}
    for exceptions in (*LEFT_OUT.values(), KEYWORDS_ONLY):
        assert exceptions.keys() <= names and all(reason.strip() for reason in exceptions.values())
    assert KEYWORDS_ONLY.keys() == {one.name for one in OPTIONS if not one.flags}


@pytest.mark.parametrize("function", [name for name in LEFT_OUT if name != "tune"])
def test_a_command_takes_all_options_but_the_exceptions(function: str) -> None:
    assert flags(function).keys() == set(taken(function)) - KEYWORDS_ONLY.keys()


@pytest.mark.parametrize("function", LEFT_OUT)
def test_a_function_takes_all_options_but_the_exceptions(function: str) -> None:
    """What a function has no keyword for, its request says."""
    said = set() if function == "tune" else IN_REQUESTS
    known = keywords(function)
    several = SEVERAL.get(function, {})
    missing = {name for name in taken(function) if several.get(name, name) not in known}
    assert missing <= said
    also = {one.also for one in OPTIONS if one.also and one.name in known}
    assert also <= known, "an option's other keyword is taken wherever the option is"


VALUES: dict[str, Any] = {"strategy": "tpe", "prefer": "fastest", "max_time": "9s", "storage": "memory"}
IGNORED = [
    (function, keyword)
    for function in ("compare", "profile")
    for keyword in get_type_hints(Choices)
    if canonical(keyword) not in taken(function) or canonical(keyword) in SEVERAL.get(function, {})
]


@pytest.mark.parametrize(("function", "keyword"), IGNORED)
def test_a_function_refuses_a_keyword_that_it_would_ignore(function: str, keyword: str) -> None:
    given = {keyword: VALUES.get(keyword, 16)}
    call = getattr(hasten.api, function)
    with pytest.raises(InputError, match=rf"{function}\(\) takes no {keyword}"):
        call("Generate an emoji-sd pipeline with DDIM and 2 steps", *["tome"] * (function == "compare"), **given)
    asked(function, {keyword: None})  # None leaves a choice open, here as elsewhere


def test_both_functions_that_search_nothing_ignore_the_same() -> None:
    searching = {"strategy", "prefer", "max_trials", "max_time_s", "max_time", "search_pairs", "confirmations"}
    ignored = {name: {keyword for function, keyword in IGNORED if function == name} for name, _ in IGNORED}
    assert ignored["compare"] == searching
    assert ignored["profile"] == searching | {"scorer", "num_samples", "storage", "batch_size"}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_has_all_its_flags_wherever_it_has_one(command: str) -> None:
    for name, found in flags(command).items():
        assert {f"--{flag}" for flag in option(name).flags} <= found, name


def test_no_command_spells_a_flag_of_the_table() -> None:
    known = {f"--{flag}" for one in OPTIONS for flag in one.flags}
    spelled = {
        (path.name, argument.value)
        for path in Path(hasten.cli.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Option")
        for argument in node.args
        if isinstance(argument, ast.Constant) and argument.value in known
    }
    assert not spelled


def test_the_choices_have_no_other_names_than_the_table() -> None:
    assert UNION.keys() <= {name for one in OPTIONS for name in (one.name, one.also)}
