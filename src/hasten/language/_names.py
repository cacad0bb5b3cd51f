"""Finds the names of models, schedulers, methods and metrics in a request, in any spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache

from hasten.errors import UnknownNameError, simplify
from hasten.language._text import MODEL, Text
from hasten.language._words import END, FILLERS, MODEL_WORD, START
from hasten.methods import METHODS
from hasten.metrics import METRICS
from hasten.models import FAMILIES, find_model
from hasten.models.base import Model
from hasten.schedulers import SCHEDULERS

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|「([^」]+)」|`([^`]+)`|(?<![a-z0-9_])'([^']+)'(?![a-z0-9_])")
_PATH = re.compile(
    r"(?<![^\s\0(,:：])(?:(?:~|\.{1,2})/"
    r"|/[^\s\0/,;:，。；、\"'()]+/)[^\s\0,;:，。；、\"'()]*[^\s\0,;:，。；、\"'().!?]"
)
_HUB_ID = re.compile(rf"{START}(?<![./-])([a-z0-9][a-z0-9_.-]*)/([a-z0-9][a-z0-9_.-]*[a-z0-9])(?![/a-z0-9_])")


UNITS = frozenset(("image", "img", "pic", "s", "sec", "second", "min", "minute", "ms", "step", "steps", "batch"))
NO_FRACTION = r"(?!\.\d)"
"""Keeps a name from claiming the start of a decimal number: ``FLUX 1.5x`` asks FLUX for 1.5x."""


class Names:
    """The spellings of one kind of name, e.g. every way to write a scheduler."""

    def __init__(self, kind: str, spellings: Mapping[str, str], *, not_before: str = "(?!)") -> None:
        """``not_before`` is a pattern of words that make a spelling before them part of another name."""
        self.kind = kind
        self.canonical = {simplify(spelling): name for spelling, name in spellings.items()}
        longest_first = sorted({s.lower() for s in spellings}, key=lambda s: (-len(s), s))
        found = "|".join(map(_spelled, longest_first))
        # a name after "no-" is part of another word: max-autotune-no-cudagraphs is a mode of another method
        self.pattern = re.compile(rf"{START}(?<!no-)(?:{found}){END}{NO_FRACTION}(?!{not_before})", re.ASCII)

    def take(self, text: Text, mark: str) -> list[tuple[str, tuple[int, int]]]:
        """Claims every name. Returns the canonical names and their spans, in the order of the text."""
        return [(self.canonical[simplify(m[0])], m.span()) for m in text.take(self.pattern, mark)]

    def near(self, word: str) -> float:
        """Returns how similar the word is to the nearest spelling, from 0 to 1 (equal)."""
        key = simplify(word)
        return max((difflib.SequenceMatcher(None, key, known).ratio() for known in self.canonical), default=0.0)


def _spelled(spelling: str) -> str:
    """Returns the pattern of a spelling, with optional hyphens inside words and any separator between words."""
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
    """Returns two spellings of a model: the hub id without its organisation, and the name with "v" before the
    version (SD1.5 as SD v1.5)."""
    return model.source.rpartition("/")[2], re.sub(r"(?<=[A-Za-z])(?=\d)", " v", model.name)


@lru_cache
def families() -> Names:
    """Returns the names that stand for the first model of a family: its pipeline's class, and its title unless
    that is already a model's name."""
    found = [
        (name, family.models[0].name) for family in FAMILIES.all() for name in (family.pipeline, family.title)
    ]
    known = {name: model for name, model in found if simplify(name) not in models().canonical}
    return Names("model family", known)


_VERSION_2 = re.compile(
    rf"{START}(?:stable[ -]?diffusion|sd)[ -]?v?2{END}(?!\.\d)(?! ?(?:x|×|倍|times|fold|images?|steps?|步"
    rf"|张|s|ms|sec)(?![a-z0-9_]))(?!%)",
    re.ASCII,
)


def take_version_2(text: Text) -> list[tuple[str, tuple[int, int]]]:
    """Claims a version 2 of Stable Diffusion without a minor number, which is taken for SD2.1."""
    return [("SD2.1", match.span()) for match in text.take(_VERSION_2, MODEL)]


@lru_cache
def schedulers() -> Names:
    """Returns the spellings of the schedulers. LCM-LoRA is an adapter's name and asks for no scheduler."""
    return Names(
        "scheduler", {n: s.name for s in SCHEDULERS for n in s.spellings}, not_before=rf"[ -]?loras?{END}"
    )


@lru_cache
def methods() -> Names:
    return Names("method", {s: m.name for m in METHODS.all() for s in (m.name, m.title, *m.aliases, *m.implied)})


def implied(text: Text, found: Iterable[tuple[str, tuple[int, int]]]) -> Iterator[tuple[str, Decimal | str, int]]:
    """Yields the parameters that the methods' names imply as they were spelled: name, value and position."""
    for method, span in found:
        meant = {simplify(spelling): given for spelling, given in METHODS.get(method).implied.items()}
        for name, value in meant.get(simplify(text.original[slice(*span)]), {}).items():
            yield name, value if isinstance(value, str) else Decimal(str(value)), span[1]


@lru_cache
def metrics() -> Names:
    known = {spelling: m.name for m in METRICS.all() for spelling in (m.name, m.title)}
    return Names("metric", {**known, "dino": "dinov2", "dino v2": "dinov2"})


@lru_cache
def parameter_owners() -> dict[str, tuple[str, ...]]:
    """Returns each parameter's name with the methods that have it. Where several methods or the setting share a
    name, it is also listed with its method's name as a prefix."""
    owners: dict[str, tuple[str, ...]] = {}
    for method in METHODS.all():
        for parameter in method.parameters():
            owners[parameter.name] = (*owners.get(parameter.name, ()), method.name)
    shared = {name: methods for name, methods in owners.items() if len(methods) > 1 or name == "dtype"}
    return owners | {f"{m}_{name}": (m,) for name, methods in shared.items() for m in methods}


def own_name(name: str, method: str) -> str:
    """Returns the name that the method itself uses for a parameter, given a key of ``parameter_owners``."""
    own = {parameter.name for parameter in METHODS.get(method).parameters()}
    return name if name in own else name.removeprefix(f"{method}_")


def take_custom_models(text: Text) -> list[str]:
    """Claims local folders and hub ids. Returns them as written, or the canonical name of a registered hub id."""
    found = []
    for match in _QUOTED.finditer(text.view):
        if _names_folder(text, match):
            found.append(text.original[slice(*_inside(match))])
            text.claim(match, MODEL)
    found += [text.written(match) for match in text.take(_PATH, MODEL)]
    for match in _HUB_ID.finditer(text.view):
        if simplify(match[0]) in models().canonical or not (_is_word(match[1]) or _is_value(match[2])):
            found.append(text.written(match))
            text.claim(match, MODEL)
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
    """Returns whether the quoted text names a folder: it is a path or is called a model. Quoted names that are
    known are left to the other recognisers."""
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


def _is_value(part: str) -> bool:
    """Returns whether this part of a hub id is a value (a method, a scheduler, a unit or a number), which no
    repository is named after. A model's name may be a repository's."""
    key = simplify(part)
    named = any(key in n().canonical for n in (schedulers, methods))
    return named or part in FILLERS or part in UNITS or re.fullmatch(r"[\d.]+[a-z%]?", part) is not None
