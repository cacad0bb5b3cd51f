"""The knobs that a user may turn, as keyword arguments of ``run`` and ``tune``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypedDict

from hasten.search import Prefer, SearchOptions
from hasten.workflow.opening import Place


class Choices(TypedDict, total=False):
    """All optional. What each means is said in ``SearchOptions`` and ``Place``.

    ``seed`` and ``confidence`` are those of both.
    """

    strategy: str
    prefer: Prefer
    max_trials: int | None
    max_time_s: float | None
    num_samples: int
    pairs: int
    search_pairs: int
    confirmations: int
    storage: str | None
    seed: int
    confidence: float
    device: str | None
    dtype: str | None
    batch_size: int | None
    height: int | None
    width: int | None
    guidance_scale: float | None
    scorer: str | None
    prompts: str | None


def split(choices: Choices) -> tuple[SearchOptions, Place]:
    """How to search, and where. Raises InputError for a value out of range, TypeError for an unknown name."""
    of_place = {f.name for f in fields(Place)}
    of_search = {f.name for f in fields(SearchOptions)}
    given: dict[str, Any] = dict(choices)
    if unknown := given.keys() - of_place - of_search:
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    return (
        SearchOptions(**{name: given[name] for name in given.keys() & of_search}),
        Place(**{name: given[name] for name in given.keys() & of_place}),
    )
