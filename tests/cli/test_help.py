"""Help: it is there at once, in groups, and an option has the same names in every command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

import hasten.cli
from hasten.options import OPTIONS
from hasten.options.table import GROUPS
from hasten.workflow.place import Place

HEAVY = {"torch", "diffusers", "transformers", "optuna", "numpy", "rich", "yaml", "sqlalchemy", "PIL"}
IMPORTED = (
    "import json, sys, contextlib, io\n"
    "sys.argv = ['hasten', *sys.argv[1:]]\n"
    "import hasten.cli\n"
    "with contextlib.redirect_stdout(io.StringIO()):\n"
    "    try: hasten.cli.main()\n"
    "    except SystemExit as stop: assert not stop.code, stop.code\n"
    "print(json.dumps(sorted(sys.modules)))"
)
COMMANDS: dict[str, Any] = dict(typer.main.get_command(hasten.cli.app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "most"),
    [(["--help"], 230), (["--version"], 230), (["run", "--help"], 330)],
    ids=str,
)
def test_help_imports_little(words: list[str], most: int) -> None:
    """That of a command has typer import pydantic: 284 modules when this was written, and 168 without."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout)
    assert not HEAVY & set(modules) and len(modules) <= most


def help_of(name: str) -> str:
    command = COMMANDS[name]
    text: str = command.get_help(command.make_context(name, [], resilient_parsing=True))
    return text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_in_groups_of_80_columns(name: str) -> None:
    text = help_of(name)
    heads = [line.rstrip(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert set(heads) <= {"Arguments", *GROUPS, "Help"} and heads[-1] == "Help"
    assert all(len(line) <= 80 for line in text.splitlines())
    assert not re.search(r"<(str|path|list)", text), "no type of Python"


@pytest.mark.parametrize("name", ["run", "search"])
def test_a_command_that_searches_has_every_group(name: str) -> None:
    assert all(f"\n{group}:" in help_of(name) for group in GROUPS)


def test_an_option_has_the_same_flags_in_every_command() -> None:
    """What takes one value somewhere and a list elsewhere has the names of both."""
    known = {one.name: {f"--{flag}" for flag in one.flags} for one in OPTIONS}
    seen = set()
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.name in known and parameter.param_type_name == "option" and command.name != "list":
                assert set(parameter.opts) == known[parameter.name], (command.name, parameter.name)
                seen.add(parameter.name)
    assert seen >= {"model", "scheduler", "methods", "height", "guidance_scale", "batch_size", "device", "dtype"}
    lists = {p.name: set(p.opts) for p in COMMANDS["explore"].params}
    assert lists["models"] > known["model"] and lists["schedulers"] > known["scheduler"]
    assert lists["methods"] == known["methods"] and lists["max_loss"] == known["max_loss"]


@pytest.mark.parametrize("flag", ["--num_samples", "--num-samples"])
def test_a_dash_in_a_flag_may_be_an_underscore(flag: str) -> None:
    assert COMMANDS["search"].make_context("search", [flag, "8"]).params["num_samples"] == 8


def test_the_command_line_looks_for_the_fastest_threads_and_python_leaves_them_alone() -> None:
    taken = {name: p.default for name, one in COMMANDS.items() for p in one.params if p.name == "threads"}
    assert taken == dict.fromkeys(("run", "search", "compare", "profile", "explore", "generate"), "auto")
    assert Place().threads is None
