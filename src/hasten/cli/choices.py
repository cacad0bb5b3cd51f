"""The options that searching commands share, in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from hasten.cli.values import seconds

Text = str | None
Pairs = Annotated[int, typer.Option(help="Timed pairs for the verdict; where restless, up to 4 times.")]
CHOICES: dict[str, tuple[Any, Any]] = {
    "strategy": (
        Annotated[str, typer.Option(help="auto (guided), guided, traversal, random, tpe, nsga2 or gp.")],
        "auto",
    ),
    "prefer": (
        Annotated[str, typer.Option(help="Of plans that meet a target: first, closest, fastest, best-quality.")],
        "first",
    ),
    "max_trials": (Annotated[int | None, typer.Option(help="Trials of the search at most.")], None),
    "max_time": (
        Annotated[
            float | None, typer.Option(parser=seconds, metavar="TIME", help="Of the whole answer: 90s, 10m.")
        ],
        None,
    ),
    "num_samples": (
        Annotated[int, typer.Option("--num-samples", "--num_samples", help="Prompts a plan is scored on.")],
        32,
    ),
    "pairs": (Pairs, 7),
    "confidence": (
        Annotated[
            float, typer.Option(help="Of the intervals: met needs a loss' whole interval inside its limit.")
        ],
        0.95,
    ),
    "seed": (Annotated[int, typer.Option(help="Of initial latents and of sampled strategies.")], 0),
    "storage": (Annotated[Text, typer.Option(help="Where trials are kept: SQLite file or database URL.")], None),
    "device": (Annotated[Text, typer.Option(help="cpu, cuda, cuda:1; else the GPU where there is one.")], None),
    "dtype": (Annotated[Text, typer.Option(help="float32, float16 or bfloat16; else float16 on a GPU.")], None),
    "batch_size": (
        Annotated[int | None, typer.Option("--batch-size", "--batch_size", help="Images of one call; else 1.")],
        None,
    ),
    "scorer": (Annotated[Text, typer.Option(help="CLIP that scores: folder, embedded model or hub id.")], None),
    "prompts": (
        Annotated[Text, typer.Option(help="Prompt set, or a file: .txt, .json, .jsonl, .csv, COCO captions.")],
        None,
    ),
}


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds those of the shared options to a command, which gets them as keyword arguments of ``hasten.api``."""
    return lambda command: _with_options(command, names)


def takes_choices(command: Callable[..., None]) -> Callable[..., None]:
    """Adds all of the shared options."""
    return _with_options(command, tuple(CHOICES))


def _with_options(command: Callable[..., None], names: Sequence[str]) -> Callable[..., None]:
    @wraps(command)
    def run(**given: Any) -> None:
        if "max_time" in given:
            given["max_time_s"] = given.pop("max_time")
        command(**given)

    own = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters += [
        inspect.Parameter(name, keyword, default=CHOICES[name][1], annotation=CHOICES[name][0]) for name in names
    ]
    vars(run)["__signature__"] = own.replace(parameters=parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del vars(run)["__wrapped__"]
    return run
