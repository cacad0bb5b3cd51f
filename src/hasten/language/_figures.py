"""Finds the numbers of a request: loss limits, latency, speedup, the methods' parameters, steps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache

from hasten.errors import RequestError, simplify
from hasten.language import _names
from hasten.language import _words as w
from hasten.language._numbers import FIGURES, NUMBER, SHARE, STEP_LIST, Range, percentage, read, share
from hasten.language._text import Text
from hasten.methods import METHODS
from hasten.task import DEFAULT_MAX_LOSS

DEFAULT_METRIC = next(iter(DEFAULT_MAX_LOSS))


@lru_cache
def patterns(*sources: str) -> tuple[re.Pattern[str], ...]:
    """Compiled; ASCII, so that only plain digits are digits."""
    return tuple(re.compile(source, re.ASCII) for source in sources)


_GLUE = rf"(?: ?{w.GLUE})*"
_BY = rf"(?:(?: ?{w.GLUE}| by{w.END})*)"
_FOLLOWING = "and|or|with|using|use|while|by|for|at|in|on|via|through|under|within|keeping|please"
_NO_UNIT = rf"{w.END}(?! ?(?:%|per ?cent|{w.UNIT_WORD}|-?{w.STEPS})|{w.TIMES})"
_ALONE = rf"{_NO_UNIT}(?= ?(?:$|[,.;:!?)、，。\u4e00-\u9fff]|(?:{_FOLLOWING}){w.END}))"
_AT_LEAST = rf"(?:(?:(?P<about>{w.ABOUT})|{w.AT_LEAST}) ?)"
_OR_MORE = rf"(?: ?{w.OR_MORE})?"
_FASTER = rf"{_OR_MORE}(?:[ -]?{w.FASTER})?{_OR_MORE}(?: {w.THAN_BASELINE})?"

_SPEEDUPS = patterns(
    rf"(?:(?:{w.SPEEDUP_NOUN}|{w.SPEEDUP_VERB}){_BY} ?)?{_AT_LEAST}?(?:a factor of )?{NUMBER}{w.TIMES}{_FASTER}",
    rf"(?:{w.SPEEDUP_VERB}{_BY} ?)?{_AT_LEAST}?{FIGURES}(?P<percent>{w.PERCENT}) ?{w.FASTER}",
    rf"{w.SPEEDUP_NOUN}{_BY} ?{_AT_LEAST}?{_GLUE} ?{FIGURES}"
    rf"(?:(?P<percent>{w.PERCENT})|{_ALONE}|{_NO_UNIT}(?= \0)){_FASTER}",
    rf"{_AT_LEAST}?{FIGURES} {w.SPEEDUP_NOUN}",
    rf"{w.START}(?:by )?(?:a )?factor (?:of )?{_AT_LEAST}?{FIGURES}{_ALONE}",
    rf"{w.START}by {_AT_LEAST}?{FIGURES}{_ALONE}",
    rf"{w.START}(?P<word>twice|doubl(?:e|ed|ing)|tripl(?:e|ed|ing)|quadrupl(?:e|ed|ing)){w.END} {w.FASTER}",
    rf"{w.START}(?P<word>halv(?:e|ed|ing)){w.END} {w.LATENCY_NOUN}",
)
_MULTIPLES = {"twice": 2, "double": 2, "doubled": 2, "doubling": 2, "halve": 2, "halved": 2, "halving": 2}

_LATENCIES = patterns(
    rf"(?:{w.EACH_IMAGE} ?)?(?:{w.LATENCY_NOUN}{_GLUE} ?)?"
    rf"(?:{w.START}in |{w.START}(?:faster|quicker) than |(?:{w.AT_MOST}{_GLUE} ?)*){NUMBER}{w.UNIT}"
    rf"(?: ?{w.OR_LESS})?{w.PER_IMAGE}?(?: ?{w.OR_LESS})?(?: {w.LATENCY_NOUN})?"
)
_LATENCY = Range("latency", "more than 0 s, at most 86400 s", 0, 86_400, open=True)
_SPEEDUP = Range("speedup", "more than 0, at most 1000", 0, 1000, open=True)
_STEP_COUNT = Range("number of steps", "a whole number from 1 to 1000", 1, 1000, whole=True)
_SCALES = {"ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60)}

_STEPS = patterns(
    rf"{w.STEPS_NOUN}{_GLUE} ?{FIGURES}{w.END}(?!{w.TIMES})",
    rf"{NUMBER}[ -]?(?:\0+ ?)?{w.STEPS}",
)


@lru_cache
def _loss_patterns() -> tuple[re.Pattern[str], ...]:
    metric = rf"(?:(?P<metric>{_names.metrics().pattern.pattern})(?:'s)? ?)?"
    noun = rf"(?:{w.QUALITY} ?)*{metric}(?:{w.QUALITY} ?)*{w.LOSS}"
    less, figure = rf"(?: ?{w.OR_LESS})?", rf"{SHARE}(?! ?{w.UNIT_WORD}|{w.TIMES})"
    return patterns(
        rf"{noun}(?:{_GLUE} ?{w.AT_MOST})*{_GLUE} ?{figure}{less}",
        rf"(?:{w.AT_MOST} ?)?(?:{w.START}an? )?{figure}{less} ?(?:的|{w.START}(?:of|in) )?{noun}",
        rf"(?:{w.QUALITY} )?{w.NOT_MORE} {figure}(?: (?:of |in )?(?:the )?{metric}{w.QUALITY}?)?",
        rf"{w.LOSE} ?(?:{w.AT_MOST} ?)?{figure}{less}(?: (?:of |in )?(?:the )?{metric}{w.QUALITY}?)?",
    )


def one(what: str, found: Iterable[str]) -> str | None:
    """The only one of the found, or None. Raises RequestError when there are several; ``what`` is a plural."""
    different = list(dict.fromkeys(found))
    if len(different) > 1:
        raise RequestError(f"The request has {len(different)} {what}: {' and '.join(different)}. Name one.")
    return different[0] if different else None


def losses(text: Text) -> dict[str, float] | None:
    """The loss limits by metric; empty when the request wants none, None when it does not speak of any."""
    found: dict[str, dict[str, float]] = {}
    for match in text.take(*_loss_patterns()):
        spoken = match["metric"]
        name = _names.metrics().canonical[simplify(spoken)] if spoken else DEFAULT_METRIC
        limit = Range(f"loss limit of {name}", "0 to 1 (0% to 100%)", 0, 1).check(share(match), percentage(match))
        found.setdefault(name, {})[f"{limit:g}"] = limit
    limits = {name: limits[one(f"loss limits of {name}", limits) or ""] for name, limits in found.items()}
    if not text.take(*patterns(w.NO_LIMIT)):
        return limits or None
    if limits:
        raise RequestError("The request asks for a loss limit and for none. Ask for one of them.")
    return {}


def latency(text: Text) -> float | None:
    """The longest time an image may take, in seconds."""
    found = {}
    for match in text.take(*_LATENCIES):
        unit = next(unit for unit in _SCALES if match[unit])
        written = f"{text.written(match, 'number')} {unit}"
        seconds = read(match["number"]) * _SCALES[unit]
        checked = _LATENCY.check(seconds, written)
        found[f"{checked:g} s"] = checked
    chosen = one("latency targets", found)
    return found[chosen] if chosen else None


def speedup(text: Text, assumptions: list[str]) -> float | None:
    """The least speedup; readings that are not literal are added to ``assumptions``."""
    found = {}
    for match in text.take(*_SPEEDUPS):
        groups = match.groupdict()
        value, written = _factor(groups), text.written(match).strip()
        figure = text.written(match, "number") if groups.get("number") else written
        shown = figure + ("%" if groups.get("percent") else "")
        factor = _SPEEDUP.check(value, shown)
        found[f"{factor:g}x"] = factor
        if groups.get("about") or groups.get("percent") or groups.get("number") == "一":
            assumptions.append(f"speedup {factor:g}x or more: the reading of {written!r}")
    chosen = one("speedups", found)
    return found[chosen] if chosen else None


def _factor(groups: dict[str, str | None]) -> Decimal:
    """3x is 3, 50% faster is 1.5, twice is 2, and 快一倍 is 2: by one time more."""
    if word := groups.get("word"):
        return Decimal(_MULTIPLES.get(word, 3 if word.startswith("t") else 4))
    number = groups["number"] or ""
    if groups.get("percent"):
        return 1 + read(number) / 100
    return Decimal(2) if number == "一" else read(number)


def parameters(text: Text) -> list[tuple[str, Decimal | str, int]]:
    """The methods' parameters that are given: name, value (a number, steps or a name), where it stands."""
    spellings = {name.replace("_", "[ _-]?"): name for name in _names.parameter_owners()}
    if not spellings:
        return []
    names = "|".join(sorted(spellings, key=len, reverse=True))
    value = rf"(?:(?P<word>{_named_values()})|{STEP_LIST}|{FIGURES}(?P<percent>{w.PERCENT})?)"
    source = rf"{w.START}(?P<name>{names}){_GLUE} ?{value}{w.END}"
    found: list[tuple[str, Decimal | str, int]] = []
    for match in text.take(*patterns(source)):
        name = next(name for spelling, name in spellings.items() if re.fullmatch(spelling, match["name"]))
        said = match["word"] or match["steps"] or read(match["number"]) / (100 if match["percent"] else 1)
        found.append((name, said, match.start()))
    return found


def _named_values() -> str:
    """The pattern of all names that are values of parameters."""
    known = {str(v) for m in METHODS.all() for p in m.parameters() if p.kind is str for v in p.allowed or ()}
    return "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True)) or "(?!)"


def steps(text: Text) -> int | None:
    """The number of denoising steps."""
    found = []
    for match in text.take(*_STEPS):
        number = _STEP_COUNT.check(read(match["number"]), text.written(match, "number"))
        found.append(str(int(number)))
    chosen = one("numbers of steps", found)
    return int(chosen) if chosen else None
