"""The commands of one request. Exit codes: 0 met or done, 1 failed, 2 bad input, 3 infeasible, 4 undecided,
130 Ctrl-C."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from hasten import __version__
from hasten.cli import many, show
from hasten.cli.choices import Pairs, takes_choices
from hasten.cli.values import UPPER_BOUND, task_of_flags
from hasten.errors import HastenError, InputError
from hasten.measure.ending import leave_if_asked, remember_interrupts

INTERRUPTED = 130
SHORT = ("profile", "verify")
NOTHING_KEPT = "Nothing was written: the same command begins anew."
TRIALS_KEPT = "All finished trials are kept: the same command goes on from there."


class Commands(TyperGroup):
    """Turns hasten's errors and Ctrl-C into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        remember_interrupts()
        try:
            return self._interrupted_first(ctx)
        except HastenError as error:
            show.error(error, as_json="--json" in sys.argv)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            show.note(f"Interrupted. {NOTHING_KEPT if ctx.invoked_subcommand in SHORT else TRIALS_KEPT}")
            raise typer.Exit(INTERRUPTED) from None

    def _interrupted_first(self, ctx: Any) -> Any:
        """What fails after Ctrl-C may well fail by it: the command was interrupted."""
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except Exception:
            leave_if_asked()
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help, which answers at once
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Makes a diffusers pipeline as fast as you ask, within the quality loss you allow, and hands you the "
    "script that proves it.",
)

Text = Annotated[str, typer.Argument(help="The request, in English or Chinese.", show_default=False)]
Runtime = Annotated[str, typer.Option(help="What the script calls: hasten, or upstream packages.")]
Verify = Annotated[bool, typer.Option(help="Measure each script again in a fresh process.")]
KnownWrong = Annotated[
    bool, typer.Option("--allow-known-wrong", help="Write upstream scripts that are known to go wrong.")
]
TwoSided = Annotated[
    bool, typer.Option("--two-sided", help="A score that rises by as much is over the limit too.")
]
Devices = Annotated[
    str | None,
    typer.Option(help="GPUs that many requests are answered on, side by side: 0,1 or all.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Standard output is one JSON document and nothing else.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    pass


@app.command()
def parse(text: Text, json: Json = False) -> None:
    """Shows the task that a request is understood as, with the assumptions made."""
    from hasten.language.parse import parse as understand

    task = understand(text)
    show.document(task.to_json()) if json else show.task(task)


@app.command()
@takes_choices
def run(
    text: Annotated[
        str | None, typer.Argument(help="The request, in English or Chinese.", show_default=False)
    ] = None,
    tasks: Annotated[
        Path | None, typer.Option(help="Instead: a file of requests, as of hasten generate.", show_default=False)
    ] = None,
    matrix: Annotated[
        Path | None,
        typer.Option(help="Instead: a YAML file, for all its scripts.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for all that is written; else hasten-out/<task>.")
    ] = None,
    runtime: Runtime = "hasten",
    verify: Verify = True,
    allow_known_wrong: KnownWrong = False,
    devices: Devices = None,
    json: Json = False,
    **choices: Any,
) -> None:
    """One request in, one verified script and a report out; or many, with --tasks or --matrix."""
    if [text, tasks, matrix].count(None) != 2:
        raise InputError("Give one of: a request, --tasks FILE, --matrix FILE.")
    if text is None:
        how = many.generation(runtime, allow_known_wrong, verify, None, None, False)
        _run_many(tasks, matrix, how, out or many.FOLDER, devices, json, **choices)
    if devices is not None:
        raise InputError(
            f"--devices {devices} is for --tasks and --matrix: name the one for a request with --device."
        )
    from hasten import api

    given: dict[str, Any] = {"out": out, "runtime": runtime, "allow_known_wrong": allow_known_wrong}
    with show.Bar() as bar:
        answer = api.run(text, verify=verify, command=_command(), progress=bar.update, **given, **choices)
    _finish(answer, json)


def _run_many(
    tasks: Path | None, matrix: Path | None, how: Any, out: Path, devices: str | None, json: bool, **choices: Any
) -> NoReturn:
    """All stages of a matrix, or the scripts of a list."""
    if matrix is not None:
        from hasten.workflow.matrix import Matrix

        many.all_stages(Matrix.read(matrix), how, out, devices, json, **choices)
    from hasten.store.seeds.tasks_file import read_requests

    many.generate(read_requests(tasks or "-"), how, out, devices, json, **choices)


@app.command()
@takes_choices
def search(
    pipe: Annotated[str, typer.Option(help="Model, folder, or pipeline class.")] = "SD1.5",
    sched: Annotated[str | None, typer.Option(help="Scheduler; else the model's usual one.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; else the model's usual number.")] = None,
    req_speedup: Annotated[
        str, typer.Option("--req_speedup", "--req-speedup", help="Speedup asked for, or upbound_speedup.")
    ] = UPPER_BOUND,
    req_score_loss: Annotated[
        float | None,
        typer.Option("--req_score_loss", "--req-score-loss", help="Limit of the CLIP score loss; else 0.02."),
    ] = None,
    max_loss: Annotated[
        list[str] | None, typer.Option(help="Limits beside, metric=number: ssim=0.2; repeatable.")
    ] = None,
    two_sided: TwoSided = False,
    search_targets: Annotated[
        str, typer.Option("--search_targets", "--search-targets", help="Methods, comma-separated.")
    ] = "deepcache",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder whose search_params.json and speedup_bounds.json the answer joins."),
    ] = None,
    json: Json = False,
    **choices: Any,
) -> None:
    """Searches without writing a script: the upper bound, or a target. The original's flags."""
    from hasten import api

    asked: dict[str, Any] = {
        "speedup": req_speedup,
        "loss": req_score_loss,
        "limits": max_loss or (),
        "two_sided": two_sided,
    }
    task = task_of_flags(pipe, sched, steps, search_targets, **asked)
    with show.Bar() as bar:
        answer = api.search(task, out=out, progress=bar.update, **choices)
    _finish(answer, json)


@app.command()
def verify(
    script: Annotated[Path, typer.Argument(help="A script that hasten wrote.", show_default=False)],
    samples: Annotated[int, typer.Option(help="Images that are scored; no search drew them.")] = 32,
    pairs: Pairs = 7,
    json: Json = False,
) -> None:
    """Measures a script in a fresh process and says whether its claim holds."""
    from hasten.script.verify import verify as measure

    with show.waiting(f"Measuring {script} in a fresh process"):
        found = measure(script, samples=samples, pairs=pairs)
    show.document(found.model_dump(mode="json")) if json else show.verification(found)
    raise typer.Exit(0 if found.holds else 1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that hasten run wrote.", show_default=False)],
    json: Json = False,
) -> None:
    """Shows an answer again, and writes its report.html anew from what the folder holds."""
    from hasten.workflow.folder import rewrite_report

    answer = rewrite_report(folder)
    show.document(answer.to_json()) if json else show.answer(answer)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="models, schedulers, methods or metrics.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(help="Which schedulers or methods fit this model, and why not.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Lists what requests may name."""
    from hasten.cli.listing import JSON_ONLY, rows

    table = rows(what, model)
    show.document(table) if json else show.table(table, without=JSON_ONLY)


@app.command()
def doctor(json: Json = False) -> None:
    """Checks this installation: packages, devices, embedded models, the store of trials."""
    from hasten.cli.checks import checks

    found = checks()
    show.document([c.__dict__ for c in found]) if json else show.checks(found)
    raise typer.Exit(0 if all(c.fine for c in found) else 1)


def _command() -> str:
    """What was typed, fit to be typed again."""
    return shlex.join(["hasten", *sys.argv[1:]])


def _finish(answer: Any, json: bool) -> None:
    show.document(answer.to_json()) if json else show.answer(answer)
    raise typer.Exit(answer.exit_code)
