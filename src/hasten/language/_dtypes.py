"""Tells a dtype that is the setting's (``SD1.5, fp16, 2x``) from the method (``with fp16``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hasten.language._setting import DTYPES, dtype_named
from hasten.language._text import Text
from hasten.language._words import END, START

Found = tuple[str, tuple[int, int]]
METHOD = "half_precision"
_INTRODUCED = re.compile(
    rf"(?:{START}(?:with|using|uses?|by|via|through|plus|and|or|nor|either|neither|both|apply|applying|enable"
    rf"|enabling|adding|add|try|only|just|without|w/o|not|no|except|for|excluding|but|avoid|than|of|including"
    rf"|include|methods?|any|to|from)"
    rf"|[+&=:：]|用|用上|和|与|及|或者?|加上?|只|不|无|除了?|开启|启用|通过)[ (\[\"'（]*$|"
    rf"dtype(?: ?(?:of|is|be|to|equal to|set to|=|:|为|是))* ?$|"
    rf"\x03(?:[ \0]*[(（][^()（）]*[)）])? ?[,，、;|/\"' ]*$",
    re.ASCII,
)
_JOINED = re.compile(
    rf" ?(?:\((?! ?\x01)|（|(?:,? ?(?:and|or|nor|plus){END}|[+&、和与或及/]|[,，]) ?\x03)", re.ASCII
)
_BARE = re.compile(rf"{START}(?:bfloat16|float16){END}", re.ASCII)


def dtype_of_words(said: str) -> str:
    """Returns the dtype that these words name."""
    return dtype_named(re.sub("[ _-]+", " ", said.lower()))


def standing_alone(text: Text, methods: Iterable[Found]) -> Iterator[Found]:
    """Yields the dtypes that no word introduces as a method, and that no list of methods has beside them."""
    named = {word for words in DTYPES.values() for word in words}
    for name, (start, end) in methods:
        said = re.sub("[ _-]+", " ", text.plain[start:end])
        if name == METHOD and said in named and _alone(text, start, end):
            yield name, (start, end)
    for match in _BARE.finditer(text.view):
        if _alone(text, *match.span()):
            yield METHOD, match.span()


_LISTED = re.compile(r"(?:\x03 ?[,，、;|/]|[:：=]) ?$")
_LIST_AFTER = re.compile(r" ?[,，、] ?\x03")


def notes_in_lists(text: Text, methods: Iterable[Found]) -> Iterator[str]:
    """Yields a note for each dtype, such as fp16, that a comma alone makes one of a list of methods."""
    for name, (start, end) in methods:
        said, before = text.original[start:end], text.view[max(0, start - 300) : start]
        first = _LIST_AFTER.match(text.view, end) and not re.search("[a-z用] ?$", before)
        if name == METHOD and said.lower() in ("fp16", "bf16") and (first or _LISTED.search(before)):
            yield f"method Half precision: the reading of {said!r} beside methods; a setting is 'in {said}'"


def _alone(text: Text, start: int, end: int) -> bool:
    return not _INTRODUCED.search(text.view[max(0, start - 300) : start]) and not _JOINED.match(text.view, end)
