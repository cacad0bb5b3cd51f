"""The keyword arguments of ``run`` and ``tune``, as they divide into options of the search and the place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from hasten.options import checked, option_names, values
from hasten.options.taken import refuse_ignored
from hasten.script.claim import Runtime
from hasten.search import Prefer, SearchOptions
from hasten.workflow.place import Place


class Choices(TypedDict, total=False):
    """The keyword arguments, all optional. ``SearchOptions`` and ``Place`` describe them.

    ``seed`` and ``confidence`` belong to both.
    """

    strategy: str
    prefer: Prefer
    max_trials: int | None
    max_time_s: float | str | None
    max_time: float | str | None
    num_samples: int
    pairs: int
    search_pairs: int
    confirmations: int
    storage: str | None
    seed: int
    confidence: float
    device: str | None
    dtype: str | None
    threads: int | str | None
    batch_size: int | None
    height: int | None
    width: int | None
    guidance_scale: float | None
    trial_timeout_s: float | str | None
    trial_timeout: float | str | None
    scorer: str | None
    prompts: str | Sequence[str] | None


class ScriptChoices(Choices, total=False):
    """The keyword arguments of functions that write scripts."""

    runtime: Runtime
    verify: bool
    allow_known_wrong: bool


SCRIPT_NAMES = ("runtime", "verify", "allow_known_wrong")
"""The names of these that ``Choices`` does not have."""


def asked(
    function: str, choices: Choices, progress: object = None, beside: Iterable[str] = ()
) -> tuple[SearchOptions, Place]:
    """Returns what the keyword arguments of a function of ``hasten.api`` ask for, like ``split``.

    Args:
        function: the name of the function.
        choices: its choices.
        progress: its callback.
        beside: the names of its other arguments.

    Raises:
        InputError: a value is out of range, the function ignores a choice, or the callback is no function.
        TypeError: a name is unknown.
    """
    values.function("progress", progress)
    refuse_ignored(function, choices)
    return split(choices, beside)


def split(choices: Choices, beside: Iterable[str] = ()) -> tuple[SearchOptions, Place]:
    """Returns the options of the search, and the place. ``beside`` has the names of the called function's other
    arguments.

    Raises:
        InputError: a value is out of range.
        TypeError: a name is unknown.
    """
    of_place, of_search = option_names(Place), option_names(SearchOptions)
    given = checked(choices, dict.fromkeys((*of_search, *of_place)), beside)
    return (
        SearchOptions(**{name: given[name] for name in of_search if name in given}),
        Place(**{name: given[name] for name in of_place if name in given}),
    )
