"""Finds the names of models, schedulers, methods and metrics in a request, in any spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache

from hasten.errors import ParameterError, RequestError, UnknownNameError, simplify
from hasten.language._text import EXAMPLE, Text
from hasten.language._words import END, FILLERS, MODEL_WORD, SAMPLER_WORD, START
from hasten.methods import METHODS
from hasten.metrics import METRICS
from hasten.models import FAMILIES, find_model, model_names
from hasten.models.base import Model
from hasten.schedulers import SCHEDULERS, scheduler_names

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|「([^」]+)」|`([^`]+)`|(?<![a-z0-9_])'([^']+)'(?![a-z0-9_])")
_PATH = re.compile(
    r"(?<![^\s\0(,:：])(?:(?:~|\.{1,2})/|/[^\s\0/,;:，。；、\"'()]+/)[^\s\0,;:，。；、\"'()]*[^\s\0,;:，。；、\"'().!?]"
)
_HUB_ID = re.compile(rf"{START}(?<![./-])([a-z0-9][a-z0-9_.-]*)/([a-z0-9][a-z0-9_.-]*[a-z0-9])(?![/a-z0-9_])")
_LISTED = r"(?:,| ?[+&、] ?|,? (?:and|plus) |[和与及])"


NO_FRACTION = r"(?!\.\d)"
"""The number behind a name is its own only where it ends there: ``FLUX 1.5x`` asks FLUX for 1.5x."""


class Names:
    """The spellings of one kind of name, e.g. every way to write a scheduler."""

    def __init__(self, kind: str, spellings: Mapping[str, str]) -> None:
        self.kind = kind
        self.canonical = {simplify(spelling): name for spelling, name in spellings.items()}
        longest_first = sorted({s.lower() for s in spellings}, key=len, reverse=True)
        found = "|".join(map(_spelled, longest_first))
        # what follows "no-" is no such thing: max-autotune-no-cudagraphs is a mode of another method
        self.pattern = re.compile(rf"{START}(?<!no-)(?:{found}){END}{NO_FRACTION}", re.ASCII)

    def take(self, text: Text) -> list[tuple[str, tuple[int, int]]]:
        """Claims every name: canonical names and where they stand, in the order of the text."""
        return [(self.canonical[simplify(m[0])], m.span()) for m in text.take(self.pattern)]

    def near(self, word: str) -> float:
        """How near the word is to the nearest spelling: 1 is equal."""
        key = simplify(word)
        return max((difflib.SequenceMatcher(None, key, known).ratio() for known in self.canonical), default=0.0)


def _spelled(spelling: str) -> str:
    """The pattern of a spelling: hyphens inside a word and any separator between words are free."""
    words = re.split(r"([\s_-]+|\.|/)", spelling)
    separators = {".": "[._-]", "/": "/"}
    return "".join(
        separators.get(part, r"[\s_-]*") if i % 2 else "[-_]?".join(map(re.escape, part))
        for i, part in enumerate(words)
    )


@lru_cache
def models() -> Names:
    found = [model for family in FAMILIES.all() for model in family.models]
    return Names("model", {s: m.name for m in found for s in (m.name, m.source, *_short(m), *m.aliases)})


def _short(model: Model) -> tuple[str, str]:
    """The hub id without its organisation, and the version with a v: SD1.5 as SD v1.5."""
    return model.source.rpartition("/")[2], re.sub(r"(?<=[A-Za-z])(?=\d)", " v", model.name)


@lru_cache
def schedulers() -> Names:
    return Names("scheduler", {n: s.name for s in SCHEDULERS for n in s.spellings})


@lru_cache
def methods() -> Names:
    return Names("method", {s: m.name for m in METHODS.all() for s in (m.name, m.title, *m.aliases, *m.implied)})


def implied(text: Text, found: Iterable[tuple[str, tuple[int, int]]]) -> Iterator[tuple[str, Decimal | str, int]]:
    """The parameters that the methods' names stand for, as they were written: name, value and where it stands."""
    for method, span in found:
        meant = {simplify(spelling): given for spelling, given in METHODS.get(method).implied.items()}
        for name, value in meant.get(simplify(text.original[slice(*span)]), {}).items():
            yield name, value if isinstance(value, str) else Decimal(str(value)), span[1]


@lru_cache
def metrics() -> Names:
    return Names("metric", {name: name for name in METRICS.names()})


@lru_cache
def parameter_owners() -> dict[str, tuple[str, ...]]:
    """Each parameter's name and the methods that have it; one that several have also with each method's name."""
    owners: dict[str, tuple[str, ...]] = {}
    for method in METHODS.all():
        for parameter in method.parameters():
            owners[parameter.name] = (*owners.get(parameter.name, ()), method.name)
    shared = {name: methods for name, methods in owners.items() if len(methods) > 1}
    return owners | {f"{m}_{name}": (m,) for name, methods in shared.items() for m in methods}


def take_custom_models(text: Text) -> list[str]:
    """Claims local folders and hub ids, as written; hub ids that the registry knows by their canonical name."""
    found = []
    for match in _QUOTED.finditer(text.view):
        if _names_folder(text, match):
            found.append(text.original[slice(*_inside(match))])
            text.claim(match)
    found += [text.written(match) for match in text.take(_PATH)]
    for match in _HUB_ID.finditer(text.view):
        if simplify(match[0]) in models().canonical or not (_is_word(match[1]) or _is_word(match[2])):
            found.append(text.written(match))
            text.claim(match)
    return [_registered(name) for name in found]


def _registered(name: str) -> str:
    try:
        return find_model(name)[1].name
    except UnknownNameError:
        return name


def _inside(match: re.Match[str]) -> tuple[int, int]:
    group = next(i for i in range(1, 6) if match[i])
    return match.span(group)


def _names_folder(text: Text, match: re.Match[str]) -> bool:
    """Quoted, and a path or called a model; quoted names that are known are left to the other recognisers."""
    inside = text.view[slice(*_inside(match))]
    path = inside.startswith((".", "/", "~"))
    if not path and any(simplify(inside) in names().canonical for names in (models, schedulers, methods)):
        return False
    before, after = text.view[: match.start()], text.view[match.end() :]
    called = re.match(rf" ?{MODEL_WORD}", after) or re.search(rf"{MODEL_WORD} ?(?:in |at |from )?$", before)
    return "/" in inside or "\\" in inside or (called is not None and re.search(r"[a-z0-9]", inside) is not None)


def _is_word(part: str) -> bool:
    key = simplify(part)
    return part in FILLERS or part.isdigit() or any(key in n().canonical for n in (models, schedulers, methods))


def refuse_unplaced(text: Text, method_spans: Iterable[tuple[int, int]], missing: Iterable[str]) -> None:
    """Raises for words that found no place.

    Args:
        text: the request, everything that is understood claimed.
        method_spans: where the methods stand; a stranger in a list with them is a method.
        missing: of "model", "scheduler": what the request has not named so far.

    Raises:
        UnknownNameError: the word stands in the place of a name, or is nearly one.
        ParameterError: the word is nearly a parameter's name, or is written like one.
        RequestError: any other word.
    """
    spans = text.unplaced()
    listed, missing = text.masked(method_spans), tuple(missing)
    for start, end in spans:
        word, before, after = text.original[start:end], listed[:start], listed[end:]
        _refuse_parameter(word)
        kind = _place(before, after, missing) or _nearly(word, before)
        if kind is not None and not word.isnumeric():
            raise UnknownNameError(kind, word, _available(kind))
    if spans:
        words = [text.original[start:end] for start, end in spans]
        raise RequestError(_sorry(words), words)


def _place(before: str, after: str, missing: tuple[str, ...]) -> str | None:
    if "scheduler" in missing and (
        re.match(rf" ?{SAMPLER_WORD}", after) or re.search(rf"{SAMPLER_WORD} ?[=:为是] ?$", before)
    ):
        return "scheduler"
    if "model" in missing and (
        re.match(rf" ?{MODEL_WORD}", after) or re.search(rf"{MODEL_WORD} ?[=:为是] ?$", before)
    ):
        return "model"
    first = rf"(?:accelerat\w*|sped up|speed up) (?:by|with|using|via|through) (?:the )?(?:\0+{_LISTED} ?)*$"
    in_list = re.search(rf"\0{_LISTED} ?$", before) or re.match(rf"{_LISTED} ?\0", after)
    return "method" if re.search(first, before) or in_list else None


def _nearly(word: str, before: str) -> str | None:
    """The kind of the known name that the word nearly is; the bar is lower after "using"."""
    bar = 0.7 if re.search(r"(?:using|with|by|采用|使用|用) ?(?:the |an? )?$", before) else 0.8
    near = {names().near(word): names().kind for names in (models, schedulers, methods)}
    return near[max(near)] if len(simplify(word)) > 2 and max(near) >= bar else None


def _available(kind: str) -> tuple[str, ...]:
    return {"model": model_names, "scheduler": scheduler_names, "method": METHODS.names}[kind]()


def _refuse_parameter(word: str) -> None:
    name = re.split(r"[\s=:]", word)[0]
    close = difflib.get_close_matches(name.lower(), parameter_owners(), n=1, cutoff=0.8)
    if close or ("_" in name and "=" in word):
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = "; ".join(f"{m.title} has {', '.join(p.name for p in m.parameters())}" for m in METHODS.all())
        raise ParameterError(f"No method has a parameter {name!r}.{hint} {known}.")


def _sorry(words: list[str]) -> str:
    listed = " and ".join(filter(None, [", ".join(map(repr, words[:-1])), repr(words[-1])]))
    comma = any(re.match(r"\d+,\d", word) for word in words)
    hint = (
        "Write numbers with a decimal point, as in 2.5."
        if comma
        else f"Say it another way, for example: {EXAMPLE!r}."
    )
    return f"I could not place {listed} in the request. {hint}"
