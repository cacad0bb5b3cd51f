"""Patterns for the allowed latency: seconds an image, or images a second."""

from __future__ import annotations

from decimal import Decimal

from hasten.errors import InputError
from hasten.language import _words as w
from hasten.language._forms import Said, forms
from hasten.language._numbers import NUMBER, Range, read

SCALES = {"ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60)}
LATENCY = Range("latency", "more than 0 s, at most 86400 s", 0, 86_400, open=True)
_GLUE = rf"(?: ?{w.GLUE}){{0,4}}"
_LEAD = rf"{w.START}in |{w.START}(?:faster|quicker) than |{w.START}every |(?:{w.AT_MOST}{_GLUE} ?){{0,3}}"
_TAIL = rf"(?: ?{w.OR_LESS})?{w.PER_IMAGE}?(?: ?{w.OR_LESS})?(?: {w.TIME})?"
_PER = rf"(?: ?/ ?| ?(?:per|an?|each|every){w.END} ?)(?:(?P<s>s|secs?|seconds?)|(?P<min>min|mins|minutes?)){w.END}"

_SECONDS = (
    rf"(?:{w.EACH_IMAGE} ?)?(?:{w.TIME}{_GLUE} ?)?(?:{_LEAD}){NUMBER}{w.UNIT}{_TAIL}",
    rf"(?:an?|one|1) {w.IMAGE} (?:every|in) {NUMBER}{w.UNIT}",
)
_ARTICLE = (
    rf"(?:{w.EACH_IMAGE} ?)?(?:{w.TIME}{_GLUE} ?)?(?:{w.START}in |(?:{w.AT_MOST}{_GLUE} ?){{1,3}})"
    rf"(?P<half>half )?an? (?:(?P<s>second)|(?P<min>minute)){w.END}{_TAIL}",
)
_IMAGES = (
    rf"(?:(?:{w.AT_LEAST}|{w.START}at|(?P<about>{w.ABOUT})) ?)*?{NUMBER} ?{w.IMAGE}{_PER}(?: ?{w.OR_MORE})?",
    rf"(?:(?:{w.AT_LEAST}|{w.START}at|(?P<about>{w.ABOUT})) ?)*?{NUMBER} ?(?P<s>fps|ips){w.END}",
    rf"(?:每|一)(?:(?P<s>秒钟?)|(?P<min>分钟)) ?(?:{w.AT_LEAST}|出|生成)*? ?{NUMBER} ?[张幅个](?:图[片像]?)?"
    rf"(?: ?{w.OR_MORE})?",
)
_EVERY = (rf"每{NUMBER}{w.UNIT}(?:出|生成)?(?:一|1)[张幅个](?:图[片像]?)?",)


def _seconds(match: Said) -> float:
    unit = next(unit for unit in SCALES if match.get(unit))
    return LATENCY.check(read(match["number"]) * SCALES[unit], f"{match.written('number')} {unit}")


def _article(match: Said) -> float:
    return float((SCALES["s"] if match.get("s") else SCALES["min"]) / (2 if match.get("half") else 1))


def _images(match: Said) -> float:
    groups = match.groups()
    number, unit = read(groups["number"]), "s" if groups.get("s") else "min"
    if not (number.is_finite() and number > 0):
        raise InputError(f"The images a {unit} are {groups['number']}: allowed is more than 0.")
    seconds = SCALES[unit] / number
    return LATENCY.check(seconds, f"{seconds:g} s").__round__(9)


def _note(seconds: float, written: str) -> str:
    return f"latency {seconds:g} s an image: the reading of {written!r}"


FORMS = (
    *forms("latency", _seconds, (*_SECONDS, *_EVERY), needs=("s", "m", "秒", "分钟")),
    *forms("latency", _article, _ARTICLE, needs=("second", "minute")),
    *forms(
        "latency",
        _images,
        _IMAGES,
        note=_note,
        needs=("/", "per", " a", "each", "every", "fps", "ips", "秒", "分钟"),
    ),
)
