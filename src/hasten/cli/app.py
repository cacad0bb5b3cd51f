"""Commands for one request. Exit codes: 0 met or done, 1 failed, 2 bad input, 3 infeasible, 4 undecided, 130
interrupted."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from hasten.cli import many, show
from hasten.cli.bar import Bar
from hasten.cli.choices import REQUEST_NAMES, SCRIPTS, Json, adds, flag_of, flags_of, is_given, takes
from hasten.cli.commands import Commands
from hasten.cli.helping import COMMAND_GROUPS, GroupedCommand
from hasten.cli.values import open_task, task_of_flags
from hasten.errors import InputError
from hasten.options.table import OUTPUT, REQUEST, SEARCH, SETTING
from hasten.options.taken import taken
from hasten.options.values import Range, seconds
from hasten.texts import without_secrets
from hasten.version import __version__

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is shown at once
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Makes a diffusers pipeline as fast as you ask, within the quality loss you allow, and hands you the "
    "script that proves it.",
)

AS_TYPED = {"token_normalize_func": lambda name: name.replace("_", "-")}
"""Lets dashes in a flag be typed as underscores, as in the original's --num_samples."""
command = partial(app.command, cls=GroupedCommand, context_settings=AS_TYPED)
"""Declares a command whose help is in groups."""
MANY, CLOSER = COMMAND_GROUPS[1:]
SEARCHED = tuple(name for name in REQUEST_NAMES if name in taken("search"))
REQUEST_HELP = "The request, in English or Chinese"
Devices = Annotated[
    str | None,
    typer.Option(
        help="GPUs that many requests are answered on, side by side: 0,1 or all.",
        show_default=False,
        metavar="NAMES",
        rich_help_panel=SETTING,
    ),
]


def sentence(words: list[str]) -> str:
    """Returns the request as it was written, also where it was not quoted."""
    return " ".join(words)


Text = Annotated[list[str], typer.Argument(help=f"{REQUEST_HELP}.", metavar="TEXT", show_default=False)]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    pass


@command(rich_help_panel=CLOSER, short_help="Shows the task that a request is understood as.")
def parse(text: Text, json: Json = False) -> None:
    """Shows the task that a request is understood as, with the assumptions made."""
    from hasten.language.parse import parse as understand

    task = understand(sentence(text))
    show.document(task.to_json()) if json else show.task(task)


@command(short_help="Answers a request by a verified script and a report.")
@takes("run")
def run(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"{REQUEST_HELP}; or the flags of it below.",
            metavar="[TEXT]",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(
            help="Instead: a file of requests, as of hasten generate.", metavar="FILE", rich_help_panel=REQUEST
        ),
    ] = None,
    matrix: Annotated[
        Path | None,
        typer.Option(help="Instead: a YAML file, for all its scripts.", metavar="FILE", rich_help_panel=REQUEST),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for all that is written; else hasten-out/<task>.",
            metavar="FOLDER",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    devices: Devices = None,
    json: Json = False,
    **given: Any,
) -> None:
    """One request in, one verified script and a report out; or many, with --tasks or --matrix.

    \b
    hasten run "Make SDXL 2x faster with DeepCache, 25 steps"
    hasten run --model SDXL --steps 25 --methods deepcache --speedup 2
    """
    asked = {name: given.pop(name) for name in REQUEST_NAMES}
    flags = [flag_of(name) for name, value in asked.items() if is_given(name, value)]
    if [text or None, tasks, matrix, flags or None].count(None) != 3:
        raise InputError(_one_request(text, tasks, matrix, flags))
    if tasks or matrix:
        how = many.generation(*(given.pop(name) for name in SCRIPTS))
        _run_many(tasks, matrix, how, out or many.FOLDER, devices, json, **given)
    if devices is not None:
        raise InputError(
            f"--devices {devices} is for --tasks and --matrix: name the one for a request with --device."
        )
    from hasten import api

    request = sentence(text) if text else open_task(**asked)
    with Bar(given["max_time_s"]) as bar:
        answer = api.run(request, out=out, command=_command(), progress=bar.update, **given)
    _finish(answer, json)


def _one_request(text: Any, tasks: Path | None, matrix: Path | None, flags: list[str]) -> str:
    """Returns the error message for no request, or for more than one."""
    one = "a sentence, the flags of a request (--model …), --tasks FILE or --matrix FILE"
    named = ["a sentence"] * bool(text) + flags
    named += ["--tasks"] * (tasks is not None) + ["--matrix"] * (matrix is not None)
    return f"Give one of {one}: this has {' and '.join(named)}." if named else f"There is no request. Give {one}."


def _run_many(
    tasks: Path | None, matrix: Path | None, how: Any, out: Path, devices: str | None, json: bool, **choices: Any
) -> NoReturn:
    """Runs all stages of a matrix, or writes the scripts of a list."""
    if matrix is not None:
        from hasten.workflow.matrix import Matrix

        many.all_stages(Matrix.read(matrix), how, out, devices, json, **choices)
    from hasten.store.seeds.tasks_file import read_requests

    many.generate(read_requests(tasks or "-"), how, out, devices, json, **choices)


@command(short_help="Searches without writing a script; the original's flags.")
@takes("search", model="SD1.5", methods="deepcache")
def search(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder whose search_params.json and speedup_bounds.json the answer joins.",
            metavar="FOLDER",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    json: Json = False,
    **given: Any,
) -> None:
    """Searches without writing a script: the upper bound, or a target. The original's flags."""
    from hasten import api

    asked = {name: given.pop(name) for name in SEARCHED}
    if asked["methods"] == ():
        raise InputError("--methods is none, so that there is nothing to search: name at least one, or any.")
    with Bar(given["max_time_s"]) as bar:
        answer = api.search(task_of_flags(**asked), out=out, progress=bar.update, **given)
    _finish(answer, json)


@command(rich_help_panel=CLOSER, short_help="Measures a script again in a fresh process.")
@adds("pairs")
def verify(
    script: Annotated[Path, typer.Argument(help="A script that hasten wrote.", show_default=False)],
    samples: Annotated[
        int,
        typer.Option(
            *flags_of("num_samples"),
            "--samples",
            help="Images that are scored; no search drew them.",
            metavar="N",
            rich_help_panel=SEARCH,
        ),
    ] = 32,
    time_limit: Annotated[
        str | None,
        typer.Option(
            help="A call of the script that takes longer (90s, 10m) is ended; else many times what is usual.",
            metavar="TIME",
            rich_help_panel=SEARCH,
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    *,
    pairs: int,
) -> None:
    """Measures a script in a fresh process: its claim is confirmed, not refuted, or refuted (exit code 1)."""
    from hasten.script.claim import read_claim
    from hasten.script.verify import verify as measure

    read_claim(script)  # what is wrong with the file is told before anything else is said
    limit_s = None if time_limit is None else seconds(Range(0, above=True))("--time-limit", time_limit)
    with show.waiting(f"Measuring {script} in a fresh process"):
        found = measure(script, samples=samples, pairs=pairs, time_limit_s=limit_s)
    show.document(found.model_dump(mode="json")) if json else show.verification(found)
    raise typer.Exit(0 if found.holds else 1)


@command(rich_help_panel=CLOSER, short_help="Shows an answer again, and writes its report anew.")
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that hasten run wrote.", show_default=False)],
    json: Json = False,
) -> None:
    """Shows an answer again, and writes its report.html anew from what the folder holds."""
    from hasten.workflow.folder import rewrite_report

    answer = rewrite_report(folder)
    show.document(answer.to_json()) if json else show.answer(answer)


@command("list", rich_help_panel=CLOSER)
def list_(
    what: Annotated[str, typer.Argument(help="models, schedulers, methods or metrics.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            *flags_of("model"),
            help="Which schedulers or methods fit this model, and why not.",
            metavar="NAME",
            rich_help_panel=REQUEST,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Lists what requests may name."""
    from hasten.cli.listing import JSON_ONLY, rows

    table = rows(what, model)
    show.document(table) if json else show.table(table, without=JSON_ONLY)


@command(rich_help_panel=CLOSER, short_help="Checks this installation.")
def doctor(json: Json = False) -> None:
    """Checks this installation: packages, devices, embedded models, the store of trials."""
    from hasten.cli.checks import checks

    found = checks()
    show.document([c.__dict__ for c in found]) if json else show.checks(found)
    raise typer.Exit(0 if all(c.fine for c in found) else 1)


def _command() -> str:
    """Returns the command as it was typed, quoted so that it can be typed again, without secrets."""
    return shlex.join(["hasten", *map(without_secrets, sys.argv[1:])])


def _finish(answer: Any, json: bool) -> None:
    show.document(answer.to_json()) if json else show.answer(answer)
    raise typer.Exit(answer.exit_code)
