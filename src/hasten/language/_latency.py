"""Patterns for the allowed latency: seconds an image, images a second, or the time of a step."""

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
_STEP = w.either(r"(?:(?:sampling|inference|denoising) )?(?:steps?|iterations?|iters?|its?)", "步")
_PER_STEP = rf"(?: ?(?:{w.START}(?:per|an?|each|every|for each){w.END} ?|/ ?|每|一){_STEP})"
_TAIL = rf"(?!{_PER_STEP})(?: ?{w.OR_LESS})?{w.PER_IMAGE}?(?: ?{w.OR_LESS})?(?: {w.TIME})?"
_PER = rf"(?: ?/ ?| ?(?:per|an?|each|every){w.END} ?)(?:(?P<s>s|secs?|seconds?)|(?P<min>min|mins|minutes?)){w.END}"

_COUNTED = NUMBER.replace("<number>", "<span>")
_SPAN = rf"{_COUNTED}{w.UNIT}"

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
_IMAGES_IN = (
    rf"{NUMBER} ?{w.IMAGE}(?: ?(?:{w.START}(?:in|every|per){w.END}|{w.AT_MOST}|/)){{1,3}}"
    rf" ?{_SPAN}(?: ?{w.OR_LESS})?",
    rf"(?:{w.START}in )?{_SPAN}(?: ?{w.OR_LESS})?(?:里|能|出|画|生成|每)*{NUMBER} ?[张幅](?:图[片像]?)?",
)
_STEPS_PER = (
    rf"(?:(?:{w.AT_LEAST}|{w.START}at|{w.ABOUT}) ?)*?{NUMBER}"
    rf"(?: ?{_STEP}|(?<=\d)(?:steps?|iters?|its?)){_PER}(?: ?{w.OR_MORE})?",
    rf"(?:每|一)(?:(?P<s>秒钟?)|(?P<min>分钟)) ?(?:{w.AT_LEAST}|跑|走)*? ?{NUMBER} ?步(?: ?{w.OR_MORE})?",
    rf"{NUMBER} ?步 ?(?:/|每) ?(?:(?P<s>秒钟?)|(?P<min>分钟))",
)
_TIME_OF_STEP = (
    rf"(?:{w.TIME}{_GLUE} ?)?(?:{w.START}(?:in|at) |(?:{w.AT_MOST}{_GLUE} ?){{1,3}})?{NUMBER}{w.UNIT}"
    rf"(?: ?{w.OR_LESS})?{_PER_STEP}(?: ?{w.OR_LESS})?",
    rf"(?:{w.START}(?:each|every|per|a|one) |每|单){_STEP}(?: ?(?:{w.START}(?:takes?|taking|should|must|may|in"
    rf"|within){w.END}|耗时|用时|时间)){{0,3}}"
    rf"(?:{_GLUE} ?{w.AT_MOST}){{0,2}}{_GLUE} ?{NUMBER}{w.UNIT}(?: ?{w.OR_LESS})?",
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


def _images_in(match: Said) -> float:
    unit = next(unit for unit in SCALES if match.get(unit))
    seconds, images = read(match["span"]) * SCALES[unit], read(match["number"])
    if not (images.is_finite() and images > 0):
        raise InputError(f"The number of images is {match.written('number')}: allowed is more than 0.")
    return round(LATENCY.check(seconds / images, match.written()), 9)


def _time_of_step(match: Said) -> float:
    unit = next(unit for unit in SCALES if match.get(unit))
    said = f"{match.written('number')} {unit}"
    return Range("time of a step", LATENCY.allowed, 0, LATENCY.high, open=True).check(
        read(match["number"]) * SCALES[unit], said
    )


def _steps_per(match: Said) -> float:
    number, unit = read(match["number"]), "s" if match.get("s") else "min"
    if not (number.is_finite() and number > 0):
        raise InputError(f"The number of steps a {unit} is {match.written('number')}: allowed is more than 0.")
    return float(SCALES[unit] / number)


def of_steps(step_s: float, steps: int) -> float:
    """Returns the latency of an image, in seconds, of ``steps`` steps that take ``step_s`` seconds each."""
    return round(LATENCY.check(Decimal(repr(step_s)) * steps, f"{step_s * steps:g} s"), 9)


def note_of_steps(step_s: float, steps: int, written: str) -> str:
    """Returns the sentence on how the time of a step became a latency."""
    return f"latency {of_steps(step_s, steps):g} s an image: the reading of {written!r} at {steps} steps"


def _note(seconds: float, written: str) -> str:
    return f"latency {seconds:g} s an image: the reading of {written!r}"


FORMS = (
    *forms("latency", _seconds, (*_SECONDS, *_EVERY), needs=("s", "m", "秒", "分钟")),
    *forms("latency", _images_in, _IMAGES_IN, note=_note, needs=("s", "m", "秒", "分钟")),
    *forms("step time", _steps_per, _STEPS_PER, needs=("/", "per", " a", "each", "every", "秒", "分钟")),
    *forms("step time", _time_of_step, _TIME_OF_STEP, needs=("s", "m", "秒", "分钟")),
    *forms("latency", _article, _ARTICLE, needs=("second", "minute")),
    *forms(
        "latency",
        _images,
        _IMAGES,
        note=_note,
        needs=("/", "per", " a", "each", "every", "fps", "ips", "秒", "分钟"),
    ),
)
