"""Makes requests from known results: at ratios of measured bounds, or those that stored plans answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from hasten.errors import InputError
from hasten.language.render import Language, check_language, render
from hasten.records import Interval
from hasten.script.write import script_name
from hasten.store.seeds.bounds import BoundEntry, Bounds
from hasten.store.seeds.search_params import Entry, SearchParams
from hasten.task import Target, Task

RATIOS = (0.8, 0.9, 0.95)
DIFFICULTY = {"easy": 0.7, "medium": 0.9, "hard": 1.1}
"""Shares of the bound's gain. *hard* is deliberately out of reach."""
NOT_PROVEN = "{label}, {speedup:g}x, is to be out of reach, which its bound does not prove: {why}."
ANSWERED = "answered"
HIGHEST = 1000
MOST_DIGITS = 17
Ratios = Sequence[float] | Mapping[str, float]


@dataclass(frozen=True)
class MadeRequest:
    """A request that was made: ``parse(request)`` is ``task``.

    Attributes:
        task: the task.
        request: the sentence.
        label: its name among the requests of its bound: the ratio or the difficulty; or ``answered``.
        bound: the speedup that is known to be feasible.
        ratio: the share of the bound's gain that is asked for, before rounding; None where a stored plan is asked
            for.
        interval: the interval of the bound; None where the file has none.
        complete: whether no budget ended the search for the bound; None where the file does not tell.
        plan: the plan that reaches the bound.
    """

    task: Task
    request: str
    label: str
    bound: float
    ratio: float | None = None
    interval: Interval | None = None
    complete: bool | None = None
    plan: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns one entry of ``tasks.json``: the sentence, the task that it means, and where it comes from."""
        return {
            "id": Path(script_name(self.task)).stem,
            "request": self.request,
            "task": self.task.to_json(),
            **self.origin,
        }

    @property
    def origin(self) -> dict[str, Any]:
        """Where the request comes from."""
        return {
            "label": self.label,
            "bound": self.bound,
            "bound_interval": self.interval and list(self.interval),
            "bound_complete": self.complete,
            "reference_plan": self.plan or None,
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class LeftOut:
    """An entry, by its key, from which no request was made, or not all, and the reason."""

    entry: str
    reason: str


@dataclass(frozen=True)
class Requests:
    """All requests that were made, without duplicate tasks, and all entries left out; both in the order of the
    file."""

    made: list[MadeRequest] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def take(self, entry: BoundEntry | Entry, found: Iterable[MadeRequest | LeftOut]) -> None:
        """Adds the requests made from an entry, or leaves the entry out where that raises InputError."""
        try:
            for one in list(found):
                self.made.append(one) if isinstance(one, MadeRequest) else self.left_out.append(one)
        except InputError as error:
            self.left_out.append(LeftOut(str(entry.key), str(error)))


def tasks_from_bounds(
    bounds: Bounds, ratios: Ratios = RATIOS, *, digits: int = 2, language: Language = "en"
) -> Requests:
    """Returns requests at ratios of the gain of every bound.

    Left out, with the reason, are bounds where nothing was feasible, and requests beyond a bound whose search is
    not known to have been complete.

    Args:
        bounds: the highest feasible speedups. Of two for the same search, the higher one is taken.
        ratios: shares of the gain, 1 + ratio · (bound − 1). The keys of a mapping become labels of the requests.
        digits: decimal places of the speedups; ``targets`` may need more.
        language: the language of the sentences, ``en`` or ``zh``.

    Raises:
        InputError: the ratios, the digits or the language cannot be used.
    """
    shares = list(ratios.values()) if isinstance(ratios, Mapping) else list(ratios)
    _check(shares, digits)
    named = dict(zip(ratios if isinstance(ratios, Mapping) else map(repr, shares), shares, strict=True))
    check_language(language)
    found, best = Requests(), _highest(bounds.entries)
    for entry in bounds.entries:
        found.take(entry, _shares(entry, best[_search(entry)], named, digits, language))
    return found


def tasks_from_params(params: SearchParams, *, language: Language = "en") -> Requests:
    """Returns the requests that the stored plans answer. Each asks for what its entry was stored under.

    An entry that does not hold what its key promises (slower than asked, or over the limit) is left out, unless
    another one answers the request.

    Raises:
        InputError: the language cannot be used.
    """
    check_language(language)
    found, made_of = Requests(), dict[str, Entry]()
    for entry in params.entries:
        found.take(entry, _answered(entry, made_of, params, language))
    return found


def targets(bound: float, ratios: Sequence[float], digits: int = 2) -> list[float]:
    """Returns the speedups at ratios of a bound's gain: 1 + ratio · (bound − 1).

    They are rounded down, so that a speedup is never above its share and, up to a ratio of 1, never above the
    bound. More digits are kept where two speedups would otherwise be equal, one would be 1, or one that has to be
    above the bound would not be.

    Raises:
        InputError: the bound is outside 1 to 1000, a share of it is above 1000, or the ratios cannot be used.

    Example:
        >>> targets(5.5, [0.8, 0.9])
        [4.6, 5.05]
    """
    _check(ratios, digits)
    if not 1 < bound <= 1 + max(1.0, *ratios) * (bound - 1) <= HIGHEST:
        raise InputError(
            f"Its bound is {bound:g}x, the highest ratio {max(ratios):g}: allowed are speedups of more than 1, at "
            f"most {HIGHEST}."
        )
    for places in range(digits, MOST_DIGITS + 1):
        found = [_down(bound, ratio, places) for ratio in ratios]
        sides = [(speedup > bound) == (ratio > 1) for speedup, ratio in zip(found, ratios, strict=True)]
        if all(sides) and min(found) > 1 and len(set(found)) == len(found):
            return found
    raise InputError(f"{MOST_DIGITS} digits do not tell the ratios {_listed(ratios)} of {bound!r}x apart.")


def _check(ratios: Sequence[float], digits: int) -> None:
    if not ratios or any(not (math.isfinite(ratio) and ratio > 0) for ratio in ratios):
        raise InputError(
            f"The ratios are {_listed(ratios)}: give one or more numbers above 0, such as 0.8,0.9,0.95."
        )
    if len(set(ratios)) < len(ratios):
        raise InputError(f"The ratios are {_listed(ratios)}: name each once, or two requests would be the same.")
    if not 0 <= digits <= MOST_DIGITS:
        raise InputError(f"The digits are {digits}: allowed is 0 to {MOST_DIGITS}.")


def _down(bound: float, ratio: float, places: int) -> float:
    """Returns the rounded share, computed in decimals so that 0.8 of the gain of 5.5 gives exactly 4.6."""
    exact = 1 + (Decimal(repr(float(bound))) - 1) * Decimal(repr(float(ratio)))
    return float(exact.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN))


def _listed(ratios: Iterable[float]) -> str:
    return ", ".join(map(repr, ratios)) or "none"


def _search(entry: BoundEntry) -> str:
    return entry.task.model_dump_json()


def _highest(entries: Iterable[BoundEntry]) -> dict[str, BoundEntry]:
    """Returns the entry with the highest bound of each search, which a file may hold in several spellings."""
    best: dict[str, BoundEntry] = {}
    for entry in entries:
        held = best.setdefault(_search(entry), entry)
        if (entry.max_speedup or 0.0) > (held.max_speedup or 0.0):
            best[_search(entry)] = entry
    return best


def _shares(
    entry: BoundEntry, best: BoundEntry, ratios: Mapping[str, float], digits: int, language: Language
) -> Iterator[MadeRequest | LeftOut]:
    if entry is not best:
        raise InputError(f"{best.key} is the same search; of the two it is taken.")
    if entry.max_speedup is None:
        raise InputError(f"{entry.status}: {entry.reason or 'the file gives no reason.'}")
    speedups = targets(entry.max_speedup, list(ratios.values()), digits)
    for (label, ratio), speedup in zip(ratios.items(), speedups, strict=True):
        if ratio > 1 and not entry.complete:
            yield LeftOut(
                str(entry.key), NOT_PROVEN.format(label=label, speedup=speedup, why=_why(entry.complete))
            )
            continue
        task = entry.task.model_copy(update={"target": Target(speedup=speedup)})
        yield MadeRequest(
            task,
            render(task, language),
            label,
            entry.max_speedup,
            ratio,
            entry.interval,
            entry.complete,
            entry.plan,
        )


def _why(complete: bool | None) -> str:
    return (
        "a budget ended its search" if complete is False else "the file does not say that its search was complete"
    )


def _answered(
    entry: Entry, made_of: dict[str, Entry], params: SearchParams, language: Language
) -> Iterator[MadeRequest]:
    task, answer = entry.task, params.find(entry.task)
    request = render(task, language)
    if answer is None:
        loss = "" if entry.score_loss is None else f" at a loss of {entry.score_loss:g}"
        raise InputError(f"Its plan, {entry.speedup:g}x{loss}, does not hold what the key promises.")
    if request in made_of:
        raise InputError(f"{made_of[request].key} makes the same request.")
    made_of[request] = entry
    yield MadeRequest(task, request, ANSWERED, answer.speedup, plan=str(answer.plan))
