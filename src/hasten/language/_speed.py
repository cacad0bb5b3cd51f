"""Patterns for the least speedup: a multiple, a percentage, or the share of the time that is to be left."""

from __future__ import annotations

import re
from decimal import Decimal

from hasten.errors import RequestError
from hasten.language import _words as w
from hasten.language._forms import Said, forms, told
from hasten.language._latency import SCALES
from hasten.language._numbers import FIGURES, NUMBER, PERCENTAGE, Range, percentage, read, share

_GLUE = rf"(?: ?{w.GLUE}){{0,4}}"
_BY = rf"(?: ?(?:{w.GLUE}|by{w.END}|了)){{0,4}}"
_ADDED = rf"(?: ?(?:{w.START}(?:by|of|is|be|at least){w.END}|=|:|为|是|了)){{0,4}}"
_FOLLOWING = "and|or|with|using|use|while|by|for|at|in|on|via|through|under|within|keeping|please|but"
_NO_UNIT = rf"{w.END}(?! ?(?:%|per ?cent|pct|{w.UNIT_WORD}|-?{w.STEPS})|{w.TIMES})"
_ALONE = rf"{_NO_UNIT}(?= ?(?:$|[,.;:!?)、，。\u4e00-\u9fff]|(?:{_FOLLOWING}){w.END}))"
_AT_LEAST = rf"(?:(?:(?P<about>{w.ABOUT})|{w.AT_LEAST}) ?)"
_OR_MORE = rf"(?: ?{w.OR_MORE})?"
_FASTER = rf"{_OR_MORE}(?:[ -]?{w.FASTER})?{_OR_MORE}(?: ?{w.THAN_BASELINE})?"
_SPEED = w.either(
    r"(?:the |its |my )?(?:(?:generation|inference|sampling|image) )?(?:speed|throughput|performance)",
    "速度|性能|吞吐量?",
)
_OBJECT = rf"(?: ?(?:{w.START}(?:{w.THINGS}){w.END}|\x01++(?:'s)?|(?:{w.CHINESE_THINGS}))){{0,8}}"
_RAISE = w.either(
    r"(?:increas|rais|boost|improv|accelerat)(?:e|es|ed|ing)|speed(?:s|ing)?|sped", "加速|提速|提升|提高|加快"
)
_RAISE_OTHER = w.either(
    "boosts?|(?:increas|rais|boost|improv|accelerat)(?:e|es|ed|ing)", "加速|提速|提升|提高|加快|增加"
)
_CUT = w.either(
    r"(?:reduc|decreas|shav|slash|minimis|minimiz)(?:e|es|ed|ing)|cut(?:s|ting)?|lower(?:s|ed|ing)?"
    r"|shorten(?:s|ed|ing)?"
    r"|drop(?:s|ped|ping)?|bring(?:s|ing)?|trim(?:s|med|ming)?|get(?:s|ting)?|sav(?:e|es|ing)",
    "降低|减少|缩短|压缩|减小|节省|省|降|减|少",
)
_NOW = (
    rf"(?: ?(?:{w.START}(?:(?:that |which )?(?:(?:it|they|{w.THING}) )?(?:now |currently )?(?:takes?|needs?"
    rf"|has|is)"
    rf"|now|today|currently|at (?:the )?(?:moment|present)|right now|before){w.END})){{0,3}}"
)
_OF_THE = (
    rf"(?: ?(?:{w.START}(?:of|the|its|my|original|current|baseline|present|usual|what){w.END}"
    rf"|原来的?|现在的?|目前的?|当前的?|原先的?|基线的?|原始的?|的)){{0,4}}"
)
_FRACTION = w.either(
    r"half|(?:a|one) (?:third|quarter|fifth)|two thirds|three quarters",
    "一半|半|[二三四五六七八九十]分之[一二三四五六七八九]",
)
_PART = rf"(?:(?P<fraction>{_FRACTION})|{PERCENTAGE})"
_PARTS = {
    Decimal(1) / 2: ("half", "一半", "半"),
    Decimal(1) / 3: ("a third", "one third"),
    Decimal(1) / 4: ("a quarter", "one quarter"),
    Decimal(1) / 5: ("a fifth", "one fifth"),
    Decimal(2) / 3: ("two thirds",),
    Decimal(3) / 4: ("three quarters",),
}
_MULTIPLES = {"tw": 2, "do": 2, "ha": 2, "tr": 3, "qu": 4, "翻": 2, "减": 2}
SPEEDUP = Range("speedup", "more than 0, at most 1000", 0, 1000, open=True)

_LITERAL = (
    rf"(?:{w.AT_LEAST} ?)?(?:(?:{w.SPEEDUP_NOUN}|{w.SPEEDUP_VERB}{_OBJECT}|(?:{_RAISE}{_OBJECT})?{_SPEED}"
    rf"(?: ?{_RAISE})?){_BY}{_OF_THE} ?)?{_AT_LEAST}?"
    rf"(?:a factor of )?{NUMBER}{w.TIMES}(?:左右|上下)?{_FASTER}(?:左右|上下)?",
    rf"{w.START}[x×] ?(?P<number>\d+(?:\.\d+)?){w.END}{_FASTER}",
    rf"{w.SPEEDUP_NOUN}{_BY} ?{_AT_LEAST}?{_GLUE} ?{FIGURES}(?:{_ALONE}|{_NO_UNIT}(?= [\0-\3])){_FASTER}",
    rf"{_AT_LEAST}?{FIGURES} {w.SPEEDUP_NOUN}",
    rf"{w.START}(?:by )?(?:a )?factor (?:of )?{_AT_LEAST}?{FIGURES}{_ALONE}",
    rf"(?:是|为|到|至|达到|变成|变为)?(?:原来|现在|原先|之前|基线|默认)的 ?{_AT_LEAST}?{NUMBER}{w.TIMES}{_FASTER}",
)
_BY_FIGURE = (rf"{w.START}by {_AT_LEAST}?{FIGURES}{_ALONE}",)
_CANCELLED = (
    rf"(?:{w.START}(?:not|instead of|rather than) |(?:而?不是|而非) ?){NUMBER}{w.TIMES}(?:[ -]?{w.FASTER})?"
    "(?:[,，]? ?而是)?",
)
_GAIN = r"(?:快|提升|提高|增加|加快)(?!.*[到至为是达的])"
"""Matches Chinese words before N times that may mean N times the speed, or N times more of it."""
DOUBTFUL = 10
"""Figure without a unit from which on it may be a percentage as well."""
_WORDS = (
    rf"{w.START}(?P<word>twice|doubl(?:e|ed|es|ing)|tripl(?:e|ed|es|ing)|quadrupl(?:e|ed|es|ing)){w.END}"
    rf"{_OBJECT} ?(?:{w.FASTER}|{_SPEED}){_OBJECT}(?: ?{w.THAN_BASELINE})?",
    rf"{w.START}(?P<word>halv(?:e|es|ed|ing)){w.END}{_OBJECT} ?{w.TIME}",
    rf"(?:{_SPEED}|{_RAISE}) ?(?P<word>翻倍|翻一番|翻一倍)",
    rf"{w.TIME} ?(?P<word>减半)",
)
_QUICKER = w.either("faster|quicker|speed[ -]?ups?|acceleration", "的?(?:加速|提速)|更?快")
_MORE_SPEED = (
    rf"(?:(?:more|higher|greater|extra|additional|increased|improved) {_SPEED}"
    rf"|{_SPEED} (?:increase|boost|improvement|gain|up){w.END}"
    rf"|(?:increase|boost|improvement|gain) (?:in|of){_OF_THE} ?{_SPEED})"
)
_RAISED = (
    rf"(?:{_RAISE_OTHER}{_OBJECT}(?:{_SPEED}{_OBJECT})?"
    rf"|{w.START}(?:speed(?:s|ing)?|sped){_OBJECT}(?:(?<=up)|(?= ?by{w.END})){_OBJECT})"
)
_FASTER_BY = (
    rf"(?:{w.AT_LEAST} ?)?(?:{_RAISED}{_ADDED} ?)?{_AT_LEAST}?{_PART} ?(?:{_QUICKER}|{_MORE_SPEED})",
    rf"(?:{w.AT_LEAST} ?)?(?:{_RAISED}|{w.SPEEDUP_NOUN}|{_SPEED}{_OBJECT}(?:{_RAISE_OTHER}|(?= ?by{w.END}))"
    rf"|{w.SPEEDUP_VERB}{_OBJECT}){_ADDED} ?{_AT_LEAST}?{_PART}{_OR_MORE}(?: ?的?{_SPEED})?",
    rf"(?:{_SPEED} ?)?\+ ?{PERCENTAGE}(?: ?{_QUICKER}| ?{_SPEED})?",
)
_SPEED_OF = (
    rf"(?:(?:{_RAISE}{_OBJECT})?{_SPEED} ?(?:{_RAISE})?|{w.START}(?:at|to|reach) ?)(?: ?(?:to|at|到|至"
    rf"|为)){_OF_THE} ?{_AT_LEAST}?{_PART}"
    rf"(?: of{_OF_THE} ?{_SPEED})?",
    rf"(?:{w.START}(?:at|to|run at) )?{_AT_LEAST}?{_PART}(?: of)?{_OF_THE} ?{_SPEED}",
    rf"{_SPEED}(?: ?(?:of|is|at|=|:|为|是|到|至))*{_OF_THE} ?{_AT_LEAST}?{PERCENTAGE}{_OR_MORE}",
    rf"{_AT_LEAST}?{_PART} as (?:fast|quick(?:ly)?){_OBJECT}"
    rf"(?: as(?: (?:now|before|it is))?{w.END})?(?: ?{w.THAN_BASELINE})?",
)
_LESS_BY = (
    rf"{_CUT}{_OBJECT} ?{w.TIME}{_OBJECT}(?: ?by{w.END}|了){{0,1}} ?{_AT_LEAST}?{_PART}",
    rf"{w.TIME}{_OBJECT} ?{_CUT}(?: ?by{w.END}|了)? ?{_AT_LEAST}?{_PART}",
    rf"{_CUT}{_OBJECT} ?{_AT_LEAST}?{_PART} ?(?:的|(?:of|off){w.END}){_OF_THE} ?{w.TIME}",
    rf"{_AT_LEAST}?{_PART} ?(?:less|shorter|lower|smaller|reduced|faster){_OF_THE} ?{w.TIME}",
    rf"{w.TIME} ?(?:reduction|saving|cut|decrease|drop)s? of {_AT_LEAST}?{_PART}",
    rf"{_AT_LEAST}?{_PART} {w.TIME} ?(?:reduction|saving|cut|decrease)s?{w.END}",
    rf"{_AT_LEAST}?{_PART} (?:reduction|saving|cut|decrease|drop) (?:in|of){_OF_THE} ?{w.TIME}",
)
_UP_TO = (
    rf"(?:{w.AT_MOST}|{w.START}(?:to|in|within|only|just|uses?|using|takes?|taking|need(?:s|ing)?"
    rf"|at){w.END}|到|至|为|只用|只需|用|只要)"
)
_LEFT = (
    rf"{_CUT}{_OBJECT} ?{w.TIME}{_OBJECT}(?: ?{_UP_TO}){{1,3}}{_OF_THE} ?{_PART}{_OF_THE}"
    rf"(?: ?{w.TIME}{_OBJECT})?{_NOW}(?: ?{w.OR_LESS})?",
    rf"{w.TIME}{_OBJECT}(?: ?{_CUT})?(?: ?{_UP_TO}){{1,3}}{_OF_THE} ?{_PART}{_OF_THE}"
    rf"(?: ?{w.TIME})?{_NOW}(?: ?{w.OR_LESS})?",
    rf"(?: ?{_UP_TO}){{0,3}}{_OF_THE} ?{_PART}{_OF_THE} ?{w.TIME}{_OBJECT}{_NOW}(?: ?{w.OR_LESS})?",
    rf"(?: ?{_UP_TO}){{1,3}}{_OF_THE} ?{w.TIME} ?的? ?{_PART}(?: ?{w.OR_LESS})?",
    rf"{_CUT}{_OBJECT} ?{w.TIME}{_OBJECT} ?in (?P<fraction>half){w.END}",
    rf"{_CUT}{_OBJECT} ?in (?P<fraction>half){_OF_THE} ?{w.TIME}",
    rf"(?P<fraction>{w.START}half){_OF_THE} ?{w.TIME}{_NOW}",
)
_SECOND = NUMBER.replace("<number>", "<second>")
_UNIT_OF = "|".join(f"(?P<{{0}}_{name}>{form})" for name, form in w.UNITS.items())
_FROM_TO = (
    rf"(?:{_CUT}{_OBJECT} ?)?(?:{w.TIME}{_OBJECT} ?)?(?:from{w.END}|从|由) ?{NUMBER}(?: ?"
    rf"(?:{_UNIT_OF.format('first')}))?"
    rf"{w.PER_IMAGE}?(?: ?(?:{_CUT}|down|优化|加速|提速|提升))? ?(?:(?:down )?to{w.END}|->|→|到|至)"
    rf"(?: ?{w.AT_MOST})?"
    rf" ?{_SECOND} ?(?:{_UNIT_OF.format('second')}){w.PER_IMAGE}?",
    rf"(?:{w.START}in )?{_SECOND} ?(?:{_UNIT_OF.format('second')}){w.PER_IMAGE}? ?(?:instead of"
    rf"|rather than|而不是){_OF_THE}"
    rf" ?{NUMBER} ?(?:{_UNIT_OF.format('first')}){w.PER_IMAGE}?",
)
_RANGE = rf"{_SECOND}(?:{w.TIMES}|(?:{w.PERCENT})|(?: ?{w.UNIT_WORD}))? ?(?:-|–|—|~|to{w.END}|到|至) ?"
_BETWEEN = rf"between{w.END} ?{_RANGE.replace('|to', '|and')}"
_EITHER_END = (
    rf"{w.AT_MOST}{_GLUE} ?{w.SPEEDUP_VERB}{_GLUE} ?{NUMBER}(?:{w.TIMES})(?:[ -]?{w.FASTER})?",
    rf"{w.AT_MOST}{_GLUE} ?{NUMBER}{w.TIMES}(?:[ -]?{w.FASTER})?",
    rf"(?:{w.SPEEDUP_NOUN}|{w.SPEEDUP_VERB}){_GLUE} ?{w.AT_MOST}{_GLUE} ?{NUMBER}(?:{w.TIMES}|{_NO_UNIT})"
    rf"(?:[ -]?{w.FASTER})?",
    rf"{NUMBER}{w.TIMES}(?:[ -]?{w.FASTER})? ?(?:{w.OR_LESS}|max(?:imum)?{w.END}|at (?:the )?most{w.END})",
    rf"(?:{w.AT_MOST}{_GLUE} ?)(?:{PERCENTAGE}) ?{w.FASTER}",
    rf"(?:{w.SPEEDUP_VERB}{_GLUE} ?)(?:{w.AT_MOST}{_GLUE} ?)(?:{PERCENTAGE})",
    rf"(?:(?:between|from){w.END} ?)?{_RANGE}{NUMBER}{w.TIMES}(?:[ -]?{w.FASTER})?",
    rf"{_BETWEEN}{NUMBER}(?:{w.TIMES}|{w.PERCENT})(?:[ -]?{w.FASTER})?",
    rf"(?:{w.SPEEDUP_VERB} ?)(?:between |from |by )?{_RANGE}{NUMBER}(?:{w.TIMES}|{w.PERCENT})",
    rf"(?:between |from )?{_RANGE}{PERCENTAGE} ?{w.FASTER}",
)


def _part(match: Said) -> tuple[Decimal, str]:
    """Returns the share of one, and its text for messages."""
    groups = match.groups()
    if "分之" in (word := groups.get("fraction", "")):
        below, _, above = word.partition("分之")
        return read(above) / read(below), word
    if word:
        return next(part for part, names in _PARTS.items() if word in names), word
    return share(match), percentage(match)


def _checked(factor: Decimal, shown: str) -> float:
    return SPEEDUP.check(factor, shown)


def _literal(match: Said) -> float:
    """Returns the speedup of a plain multiple: 3x is 3, and 快一倍 ("faster by one time") is 2."""
    number, said = match["number"], match.written()
    doubled = number == "一" or (number == "1" and re.search(rf"(?:{_GAIN}|加速|提速)[^到至为是达的]*1 ?倍", said))
    return _checked(Decimal(2) if doubled else read(number), match.written("number"))


def _by_figure(match: Said) -> float:
    number = read(match["number"])
    if number.is_finite() and DOUBTFUL <= number <= SPEEDUP.high:
        said = match.written("number")
        raise RequestError(f"'by {said}' may be {said}% or {said}x: write one of them, as in 'by {said}%'.")
    return _checked(number, match.written("number"))


def _word(match: Said) -> float:
    return float(_MULTIPLES.get(match["word"][:2], _MULTIPLES.get(match["word"][:1], 2)))


def _faster_by(match: Said) -> float:
    part, shown = _part(match)
    return round(_checked(1 + part, shown), 4)


def _speed_of(match: Said) -> float:
    part, shown = _part(match)
    return _checked(part, shown)


def _less_by(match: Said) -> float:
    part, shown = _part(match)
    if not 0 < part < 1:
        raise RequestError(f"The time is to be reduced by {shown}: allowed is more than 0%, less than 100%.")
    return round(_checked(1 / (1 - part), shown), 4)


def _left(match: Said) -> float:
    part, shown = _part(match)
    if not 0 < part <= 1:
        raise RequestError(f"The time is to be {shown} of what it is: allowed is more than 0%, at most 100%.")
    return round(_checked(1 / part, shown), 4)


def _from_to(match: Said) -> float:
    groups = match.groups()
    second = next(unit for unit in SCALES if f"second_{unit}" in groups)
    first = next((unit for unit in SCALES if f"first_{unit}" in groups), second)
    before, after = read(groups["number"]) * SCALES[first], read(groups["second"]) * SCALES[second]
    if not 0 < after < before:
        raise RequestError(f"{match.written()!r} is no speedup: the second time has to be shorter, and above 0.")
    return round(_checked(before / after, match.written()), 4)


def _either_end(match: Said) -> float:
    said = match.written()
    raise RequestError(
        f"{said!r} leaves open which end is meant: hasten looks for a least speedup, "
        "so say 'at least' and one number.",
        [said],
    )


def _note(factor: float, written: str) -> str:
    return f"speedup {factor:g}x or more: the reading of {written!r}"


def _note_of_literal(factor: float, written: str) -> str:
    said = written.lower()
    vague = (
        _VAGUE.search(said),
        re.search(rf"一倍|左右|上下|{_GAIN}.*倍", said),
        re.search("twice.*(?:faster|quicker)", said),
        factor >= DOUBTFUL and not re.search(f"factor|{w.TIMES}", said),
    )
    return _note(factor, written) if any(vague) else ""


def _note_of_seconds(factor: float, written: str) -> str:
    return f"{_note(factor, written)}; for that time on this machine say 'at most … s per image'"


_VAGUE = re.compile(rf"^(?:.*[^a-z])?{w.ABOUT} ?[\d一二两三四五六七八九十a-z]")
_PERCENTS = (
    "%",
    "percent",
    "per cent",
    "pct",
    "百分",
    "half",
    "third",
    "quarter",
    "fifth",
    "半",
    "分之",
    "分点",
    "成",
)

FORMS = (
    *forms("either end", _either_end, _EITHER_END),
    *forms("speedup", _literal, _LITERAL, note=_note_of_literal),
    *forms("speedup", _by_figure, _BY_FIGURE),
    *forms("cancelled", told, _CANCELLED, needs=("not", "instead", "rather", "不是", "而非")),
    *forms("speedup", _word, _WORDS, note=_note_of_literal),
    *forms("speedup", _speed_of, _SPEED_OF, note=_note, needs=_PERCENTS),
    *forms("speedup", _faster_by, _FASTER_BY, note=_note, needs=_PERCENTS),
    *forms("speedup", _less_by, _LESS_BY, note=_note, needs=_PERCENTS),
    *forms("speedup", _left, _LEFT, note=_note, needs=_PERCENTS),
    *forms(
        "speedup",
        _from_to,
        _FROM_TO,
        note=_note_of_seconds,
        needs=("from", "instead", "rather", "从", "由", "而不是"),
    ),
    *forms("fastest", told, (w.FASTEST,)),
)
