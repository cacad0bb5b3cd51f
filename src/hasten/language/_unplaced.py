"""Handles words that were not understood: finds what they stand for, and raises an error that names them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from hasten.errors import ParameterError, RequestError, UnknownNameError, simplify
from hasten.language._names import families, methods, models, parameter_owners, schedulers
from hasten.language._text import Text
from hasten.language._words import MODEL_WORD, SAMPLER_WORD
from hasten.methods import METHODS
from hasten.models import model_names
from hasten.schedulers import scheduler_names

MOST, LONGEST, AROUND = 8, 80, 300
"""At most ``MOST`` words are examined and shown, with at most ``LONGEST`` characters of each and ``AROUND``
characters on either side, so that a text of any length is answered at once."""
_LISTED = r"(?:,| ?[+&、] ?|,? (?:and|plus) |[和与及])"


def refuse_unplaced(text: Text, method_spans: Iterable[tuple[int, int]], missing: Iterable[str]) -> None:
    """Raises an error for words that were not understood.

    Args:
        text: the request, in which everything that is understood is claimed.
        method_spans: the places of the methods; an unknown word in a list with them is taken for a method.
        missing: the kinds, "model" or "scheduler", that the request has not named so far.

    Raises:
        UnknownNameError: the word stands in the place of a name, or is nearly one.
        ParameterError: the word is nearly a parameter's name, or is written like one.
        RequestError: any other word.
    """
    spans = text.unplaced()
    listed, missing = text.masked(method_spans), tuple(missing)
    for start, end in spans[:MOST]:
        word = text.original[start : min(end, start + LONGEST)]
        before, after = listed[max(0, start - AROUND) : start], listed[end : end + AROUND]
        _refuse_parameter(word)
        _refuse_version(text, start, end)
        kind = _place(word, before, after, missing) or _nearly(word, before)
        if kind is not None and not word.isnumeric():
            raise UnknownNameError(kind, word, _available(kind))
    if spans:
        words = [text.original[start:end] for start, end in spans]
        hint = f" {_no_model()}" if "model" in missing else ""
        raise RequestError(_sorry(words) + hint, words)


def _refuse_version(text: Text, start: int, end: int) -> None:
    """Raises UnknownNameError for a number that makes a family's name the name of another model."""
    name = re.search(r"\x01++ ?$", text.view[max(0, start - LONGEST) : start])
    family = text.plain[start - len(name[0]) : start] if name else ""
    version = end - start < LONGEST and re.fullmatch(r"v?\d+(?:\.\d+)*", text.plain[start:end])
    if version and simplify(family) in families().canonical:
        raise UnknownNameError("model", text.original[start - len(family) : end], model_names())


def _no_model() -> str:
    return (
        f"No model that hasten knows is named: there are {', '.join(model_names())}, a folder (./my-model) and a "
        "hub id (owner/name)."
    )


_NO_NAMES = frozenset(
    ("whichever", "whatever", "both", "either", "neither", "none", "all", "any", "each", "not", "no", "nothing")
)


def _place(word: str, before: str, after: str, missing: tuple[str, ...]) -> str | None:
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
    if word.lower().split(" ")[0] in _NO_NAMES:
        return None
    return "method" if re.search(first, before) or in_list else None


def _nearly(word: str, before: str) -> str | None:
    """Returns the kind of the known name that the word is close to. The threshold is lower after "using"."""
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
    shown = [repr(word if len(word) <= LONGEST else f"{word[:LONGEST]}…") for word in words[:MOST]]
    shown += [f"{len(words) - MOST} more"] if len(words) > MOST else []
    listed = " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    comma = any(re.match(r"\d+,\d", word) for word in words)
    hint = " Write numbers with a decimal point, as in 2.5." if comma else ""
    return f"I could not place {listed} in the request.{hint}"
