"""The commands for many requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import many, show
from hasten.cli.app import MANY, Devices, command
from hasten.cli.choices import SCRIPTS, Json, flags_of, takes
from hasten.cli.values import limit_cells, numbers
from hasten.errors import InputError
from hasten.options.table import OUTPUT, REQUEST

if TYPE_CHECKING:
    from hasten.workflow.tasks import Requests

BOUNDS, TASKS = many.FOLDER / "speedup_bounds.json", many.FOLDER / "tasks.json"
LISTED = ("model", "scheduler", "steps", "methods", "max_loss")
"""The options of which a matrix takes several values."""
Out = Annotated[
    Path, typer.Option(help="Folder of all that is written.", metavar="FOLDER", rich_help_panel=OUTPUT)
]


def _listed(metavar: str) -> dict[str, Any]:
    """Returns the help settings for such an option of a list of requests."""
    return {"metavar": metavar, "rich_help_panel": REQUEST, "show_default": False}


@command(rich_help_panel=MANY, short_help="Finds the upper bounds of many settings.")
@takes("explore", but=LISTED)
def explore(
    matrix: Annotated[
        Path | None, typer.Argument(help="A YAML file with the lists below.", show_default=False)
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", *flags_of("model"), help="Comma-separated.", **_listed("NAMES"))
    ] = None,
    schedulers: Annotated[
        str | None,
        typer.Option(
            "--schedulers",
            *flags_of("scheduler"),
            help="Comma-separated; else that of each model's own pipeline.",
            **_listed("NAMES"),
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            *flags_of("steps"), help="Comma-separated; else each model's usual number.", **_listed("NUMBERS")
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            *flags_of("methods"),
            help="A set, comma-separated; once for each; else any.",
            **_listed("NAMES"),
        ),
    ] = None,
    max_loss: Annotated[
        list[str] | None,
        typer.Option(
            *flags_of("max_loss"),
            help="CLIP score limits, 0.01,0.02; or a cell of several, clip_score=0.02,ssim=0.2.",
            **_listed("LIMITS"),
        ),
    ] = None,
    devices: Devices = None,
    out: Out = many.FOLDER,
    json: Json = False,
    *,
    two_sided: bool,
    margin: float,
    **choices: Any,
) -> None:
    """Upper bounds of a matrix of models, schedulers, steps, sets of methods and limits."""
    from hasten.workflow.matrix import Matrix

    lists = {"models": models, "schedulers": schedulers, "steps": steps}
    given: dict[str, Any] = {name: text.split(",") for name, text in lists.items() if text is not None}
    given |= {"methods": methods} if methods else {}
    given |= {"max_loss": limit_cells(max_loss)} if max_loss else {}
    given |= {"two_sided": True} if two_sided else {}
    if matrix is None and models is None:
        raise InputError("There is nothing to explore: give a YAML file of settings, or --models.")
    if matrix is not None and given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"Give the file {matrix} or {flags}, not both.")
    cells = Matrix.read(matrix) if matrix is not None else Matrix.of(**given)
    many.explore(cells, out, devices, margin, json, **choices)


@command(rich_help_panel=MANY, short_help="Writes a verified script for every request of a list.")
@takes("generate")
def generate(
    requests: Annotated[
        Path, typer.Argument(help="tasks.json, a text file with a sentence a line, or - for standard input.")
    ] = TASKS,
    params: Annotated[
        Path | None, typer.Option(help="A search_params.json: its plans are tried first.", **_listed("FILE"))
    ] = None,
    bounds: Annotated[
        Path | None,
        typer.Option(help="A speedup_bounds.json: what is over them is infeasible.", **_listed("FILE")),
    ] = None,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is", help="Take the figures of --params as they are: measure nothing.", rich_help_panel=REQUEST
        ),
    ] = False,
    devices: Devices = None,
    out: Out = many.FOLDER,
    json: Json = False,
    **given: Any,
) -> None:
    """A verified script for every request of a list; what fails is told at the end and stops nothing."""
    from hasten.store.seeds.tasks_file import read_requests

    scripts = (given.pop(name) for name in SCRIPTS)
    how = many.generation(*scripts, bounds=bounds, params=params, as_is=as_is)
    many.generate(read_requests(requests), how, out, devices, json, **given)


@command(rich_help_panel=MANY, short_help="Makes requests from measured bounds.")
def tasks(
    file: Annotated[
        Path | None, typer.Argument(help="The bounds, as with --bounds.", show_default=False, metavar="bounds")
    ] = None,
    bounds: Annotated[
        Path | None, typer.Option(help=f"Bounds to ask for shares of; else {BOUNDS}.", **_listed("FILE"))
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(help="Instead: a search_params.json, to ask for what its plans reach.", **_listed("FILE")),
    ] = None,
    ratios: Annotated[
        str | None, typer.Option(help="Shares of each bound's gain; else 0.8,0.9,0.95.", **_listed("NUMBERS"))
    ] = None,
    difficulty: Annotated[
        bool,
        typer.Option(
            "--difficulty",
            help="Instead: easy, medium and (out of reach) hard: 0.7, 0.9, 1.1.",
            rich_help_panel=REQUEST,
        ),
    ] = False,
    language: Annotated[str, typer.Option(help="en or zh.", rich_help_panel=OUTPUT, metavar="NAME")] = "en",
    out: Annotated[Path, typer.Option(help="The file to write.", rich_help_panel=OUTPUT, metavar="FILE")] = TASKS,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Write sentences alone, without task and bound.", rich_help_panel=OUTPUT),
    ] = False,
    json: Json = False,
) -> None:
    """Makes requests from measured bounds or stored plans: sentences that hasten generate answers."""
    if file is not None and bounds is not None:
        raise InputError(f"The bounds are {file} and --bounds {bounds}: give one of them.")
    source, found, faults = _made(bounds or file, params, ratios, difficulty, language)
    for fault in faults:
        show.note(f"not used: {fault}")
    for left in found.left_out:
        show.note(f"left out: {left.entry}: {left.reason}")
    if not found.made:
        raise InputError(f"No request can be made of {source}: nothing in it is of use. {out} was not written.")
    _written(found, out, plain)
    show.document(_document(found, faults, out)) if json else show.requests(found.made)
    show.note(f"requests in {out}: {len(found.made)}; entries left out: {len(found.left_out)}")


def _made(
    bounds: Path | None, params: Path | None, ratios: str | None, difficulty: bool, language: str
) -> tuple[Path, Requests, tuple[str, ...]]:
    """Returns the source file, the requests made of it, and its faults. Raises InputError."""
    from hasten.language.render import check_language
    from hasten.store.seeds.bounds import Bounds
    from hasten.store.seeds.search_params import SearchParams
    from hasten.workflow.tasks import DIFFICULTY, RATIOS, tasks_from_bounds, tasks_from_params

    _refuse_both(bounds, params, ratios, difficulty)
    spoken = check_language(language)
    if params is not None:
        plans = SearchParams.read(params)
        return params, tasks_from_params(plans, language=spoken), plans.faults
    known = Bounds.read(bounds or BOUNDS)
    shares = DIFFICULTY if difficulty else numbers("--ratios", ratios) if ratios is not None else RATIOS
    return bounds or BOUNDS, tasks_from_bounds(known, shares, language=spoken), known.faults


def _refuse_both(bounds: Path | None, params: Path | None, ratios: str | None, difficulty: bool) -> None:
    given = {"--params": params, "--bounds": bounds, "--ratios": ratios, "--difficulty": difficulty or None}
    named = [flag for flag, value in given.items() if value is not None]
    if (params is not None and len(named) > 1) or (difficulty and ratios is not None):
        raise InputError(
            f"{' and '.join(named)} do not go together: give --params alone, or --bounds with --ratios or with "
            "--difficulty."
        )


def _written(found: Requests, out: Path, plain: bool) -> None:
    from hasten.store.seeds.tasks_file import write_requests

    write_requests(out, [made.request if plain else made.to_json() for made in found.made])


def _document(found: Requests, faults: tuple[str, ...], out: Path) -> dict[str, Any]:
    return {
        "tasks": [made.to_json() for made in found.made],
        "left_out": [left.__dict__ for left in found.left_out],
        "faults": list(faults),
        "out": str(out),
    }
