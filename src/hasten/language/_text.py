"""A request whose words are claimed one after the other, until each is understood or left over."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from hasten.errors import RequestError
from hasten.files import whole
from hasten.language._words import AT_LEAST, AT_MOST, CHINESE_FILLERS, FILLERS, PUNCTUATION

HOLE, MODEL, SCHEDULER, METHOD = "\0\1\2\3"
"""Characters that replace understood text in the view: a hole for anything, and marks for kinds of names."""
MAX_CHARACTERS = 5000
EXAMPLE = (
    "Generate a SD1.5 pipeline using the DDIM sampler with 50 steps, accelerated by DeepCache with 2x speedup"
)

_TOKEN = re.compile(
    rf"(?P<comparison>{AT_MOST}|{AT_LEAST}|w/o)|"
    r"\d+(?:[.,]\d+)*[a-z0-9_%]*|[a-z0-9_]+(?:[.'+-][a-z0-9_]+)*\+*|[\u4e00-\u9fff]+|[^\s\0-\3]",
    re.ASCII,
)
_MARKS = re.compile("[\0-\3]")
_FILLER_RUN = re.compile("|".join(sorted(map(re.escape, CHINESE_FILLERS), key=len, reverse=True)))


class Text:
    """The text of a request. ``original`` is the text as written. ``view`` is what patterns match: it has the same
    length, lower case, plain digits and letters for full-width ones, and a hole or a name's mark for every claimed
    character."""

    def __init__(self, text: str) -> None:
        self.original = " ".join(whole(_MARKS.sub("\ufffd", text)).split())
        if not self.original:
            raise RequestError(f"The request is empty. Example: {EXAMPLE!r}.")
        if len(self.original) > MAX_CHARACTERS:
            raise RequestError(
                f"The request has {len(self.original)} characters: allowed are {MAX_CHARACTERS}. "
                "Say it in one sentence."
            )
        self.plain = "".join(map(_plain, self.original))
        self.view = self.plain

    def take(self, pattern: re.Pattern[str], mark: str = HOLE) -> list[re.Match[str]]:
        """Claims and returns every match of the pattern."""
        matches = list(pattern.finditer(self.view))
        for match in matches:
            self.claim(match, mark)
        return matches

    def claim(self, match: re.Match[str], mark: str = HOLE) -> None:
        """Marks the matched characters as understood. Characters that already carry a name's mark keep it."""
        start, end = match.span()
        claimed = re.sub("[^\1-\3]", mark, self.view[start:end])
        self.view = self.view[:start] + claimed + self.view[end:]

    def written(self, match: re.Match[str], group: str | int = 0) -> str:
        """Returns the characters of a match as the user wrote them."""
        return self.original[slice(*match.span(group))]

    def masked(self, spans: Iterable[tuple[int, int]]) -> str:
        """Returns the plain text with holes at these spans only."""
        text = self.plain
        for start, end in spans:
            text = text[:start] + HOLE * (end - start) + text[end:]
        return text

    def unplaced(self) -> list[tuple[int, int]]:
        """Returns the spans that are neither claimed nor filler words. Neighbouring words form one span."""
        merged: list[tuple[int, int]] = []
        for start, end in self._leftover():
            if merged and self.view[merged[-1][1] : start] in ("", " ", "-"):
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        return merged

    def only_fillers(self, written: str) -> bool:
        """Returns whether all these words are so common that nobody would look for them."""
        return not any(Text(written).unplaced()) if written.strip() else True

    def _leftover(self) -> Iterator[tuple[int, int]]:
        for token in _TOKEN.finditer(self.view):
            word, start = token[0], token.start()
            if token["comparison"]:
                yield token.span()
            elif "\u4e00" <= word[0] <= "\u9fff":
                holes = _FILLER_RUN.sub(lambda m: HOLE * len(m[0]), word)
                yield from ((start + m.start(), start + m.end()) for m in re.finditer(r"[^\0]+", holes))
            elif not (word in PUNCTUATION or all(part in FILLERS for part in re.split("[-']", word))):
                yield token.span()


def _plain(character: str) -> str:
    """Returns the compatible form of a character in lower case, if that is a single character.

    The full-width comma stays as it is: unlike an ASCII comma between digits, it always separates.
    """
    if character == "，":
        return character
    normal = unicodedata.normalize("NFKC", character)
    lower = normal.lower()
    return lower if len(lower) == 1 else character
