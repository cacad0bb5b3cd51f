"""Reads numbers as people write them: digits, English number words, Chinese numerals, percentages."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from hasten.errors import InputError
from hasten.language._forms import Said
from hasten.language._words import END, PERCENT

_TO_NINETEEN = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {
    word: 10 * i
    for i, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_HUNDRED = dict.fromkeys(("one hundred", "a hundred", "hundred"), 100)
WORDS = _TENS | {word: i for i, word in enumerate(_TO_NINETEEN, 1)} | _HUNDRED
_NUMERALS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}

_AND_A_HALF = " and a half"
_DIGITS = r"(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3})?"
_NOT_INSIDE = r"(?<![a-z0-9_.])(?<!\d,)"
_SIGN = r"(?:(?<![\0-\3])[-−])?"
_SMALL = "|".join(sorted((*_TO_NINETEEN, *_HUNDRED), key=len, reverse=True))
_TO_NINE = "|".join(_TO_NINETEEN[:9])
_WORD = (
    rf"(?:(?:{_TO_NINE}){_AND_A_HALF}|(?:{'|'.join(_TENS)})(?:[ -](?:{_TO_NINE})(?={END}))?|{_SMALL})"
    rf"(?=(?:[ -]?fold)?{END})"
)
_CHINESE = r"[零〇一二两三四五六七八九十百千]+(?:点[零〇一二三四五六七八九]+)?"
_NAN = r"(?:nan|inf(?:inity)?)(?=x?(?![a-z0-9_]))"
_NO_MORE_DIGITS = r"(?![.,]?\d)"

FIGURES = rf"(?P<number>{_NOT_INSIDE}(?>{_SIGN}(?:{_DIGITS}|{_NAN})){_NO_MORE_DIGITS})"
"""A number in figures, for places where it may stand without a unit."""
STEP_LIST = rf"(?P<steps>{_NOT_INSIDE}\d+(?:-\d+)?(?::\d+(?:-\d+)?)+|{_NOT_INSIDE}\d+-\d+)"
"""A list of more than one step in figures, e.g. ``0-3:5:9``."""
NUMBER = rf"(?P<number>{_NOT_INSIDE}(?>{_SIGN}(?:{_DIGITS}|{_NAN})|{_WORD}|{_CHINESE}){_NO_MORE_DIGITS})"
"""A number in any form, for use before a unit only: elsewhere "one" and 一 would be taken for figures."""
_IN_WORDS = (
    rf"百分之(?P<hundredths>\d+(?:\.\d+)?|{_CHINESE})|(?P<tenths>{_NOT_INSIDE}\d|[一二两三四五六七八九])成(?P<more>半)?"
    rf"|(?P<halved>(?<![a-z0-9_])half (?:of )?an? ?(?:percent|per cent|%)){END}"
)
PERCENTAGE = rf"(?:{_IN_WORDS}|{NUMBER}(?P<percent>{PERCENT}))"
"""A share of one that is written as a percentage, also in words: 2%, five percent, 百分之二, 三成."""
SHARE = rf"(?:{_IN_WORDS}|{FIGURES}(?P<percent>{PERCENT})?)"
"""A share of one: 0.02, 2%, 百分之二."""


def read(text: str) -> Decimal:
    """Returns the value of one match of ``NUMBER``."""
    text = text.lower().replace("−", "-")
    if text in WORDS:
        return Decimal(WORDS[text])
    if text.endswith(_AND_A_HALF):
        return WORDS[text.removesuffix(_AND_A_HALF)] + Decimal("0.5")
    if (parts := re.split("[ -]", text))[0] in _TENS:
        return Decimal(sum(WORDS[part] for part in parts))
    if text[0] in "零〇一二两三四五六七八九十百千":
        return _chinese(text)
    return Decimal(text)


def share(match: Said) -> Decimal:
    """Returns the value of a match with the groups of ``SHARE``: 2% is 0.02."""
    if hundredths := match.get("hundredths"):
        return read(hundredths) / 100
    if tenths := match.get("tenths"):
        return read(tenths) / 10 + (Decimal("0.05") if match.get("more") else 0)
    if match.get("halved"):
        return Decimal("0.005")
    return read(match["number"]) / (100 if match.get("percent") else 1)


def percentage(match: Said) -> str:
    """Returns a match of ``SHARE`` as messages show it."""
    hundredths = match.get("hundredths")
    if match.get("tenths") or match.get("halved"):
        return f"{100 * share(match):g}%"
    return f"{hundredths or match.written('number')}{'%' if hundredths or match.get('percent') else ''}"


@dataclass(frozen=True)
class Range:
    """The values that a number of the request may have. ``open`` excludes ``low`` itself."""

    what: str
    allowed: str
    low: float
    high: float
    open: bool = False
    whole: bool = False

    def check(self, value: Decimal, written: str) -> float:
        """Returns the value as a float. Raises InputError, which quotes ``written``, when it is out of range."""
        number = float(value)
        inside = (
            math.isfinite(number) and self.low <= number <= self.high and not (self.open and number == self.low)
        )
        if not inside or (self.whole and not number.is_integer()):
            raise InputError(f"The {self.what} is {written}: allowed is {self.allowed}.")
        return number


def _chinese(text: str) -> Decimal:
    """Reads Chinese numerals: 三 is 3, 十二 12, 二十五 25, 一百二十 120, 二点五 2.5, 三〇 30."""
    whole, _, fraction = text.partition("点")
    digits = "".join(str(_NUMERALS[c]) for c in fraction)
    return Decimal(f"{_chinese_whole(whole)}.{digits or 0}")


def _chinese_whole(text: str) -> int:
    if not set(text) & set("十百千"):
        return int("".join(str(_NUMERALS[c]) for c in text))
    total, digit = 0, None
    for character in text:
        if character in _NUMERALS:
            digit = _NUMERALS[character]
        else:
            total += (1 if digit is None else digit) * {"十": 10, "百": 100, "千": 1000}[character]
            digit = None
    return total + (digit or 0)
