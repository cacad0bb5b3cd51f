"""Matches a request against forms. Each kind of thing declares forms; where two overlap, the longer one wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hasten.language._text import Text


class Said:
    """A match on the lower-case view of a request, with access to the same places as they were written."""

    def __init__(self, match: re.Match[str], text: Text) -> None:
        self._match, self._original = match, text.original

    def __getitem__(self, group: str | int) -> str:
        return self._match[group] or ""

    def get(self, group: str) -> str:
        """Returns the text of a group, or "" where the form has no group of that name."""
        return self._match.groupdict().get(group) or ""

    def groups(self) -> dict[str, str]:
        """Returns the text of each group that matched, by the group's name."""
        return {name: said for name, said in self._match.groupdict().items() if said}

    def written(self, group: str | int = 0) -> str:
        """Returns a group as the user wrote it."""
        return self._original[slice(*self._match.span(group))].strip()

    def span(self) -> tuple[int, int]:
        return self._match.span()


@dataclass(frozen=True)
class Form:
    """One way to say one kind of thing.

    ``read`` returns the value of a match, and may raise InputError for an impossible value. ``note`` returns a
    sentence about how the value was taken, for words that are not literal. ``needs`` is a cheap test before the
    pattern is tried: the form is skipped when the request contains none of these words.
    """

    kind: str
    pattern: re.Pattern[str]
    read: Callable[[Said], Any]
    note: Callable[[Any, str], str] | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A place of the request that was understood."""

    form: Form
    said: Said

    @property
    def kind(self) -> str:
        return self.form.kind

    @property
    def written(self) -> str:
        return self.said.written()

    def value(self) -> Any:
        """Returns the value of the match. Raises InputError for an impossible value."""
        return self.form.read(self.said)

    def notes(self) -> tuple[str, ...]:
        """Returns notes on how the words were taken, where they are not literal."""
        note = self.form.note(self.value(), self.written) if self.form.note else ""
        return (note,) if note else ()


def forms(
    kind: str,
    read: Callable[[Said], Any],
    sources: Iterable[str],
    *,
    note: Callable[[Any, str], str] | None = None,
    needs: Sequence[str] = (),
) -> tuple[Form, ...]:
    """Returns forms of one kind that share the same reader."""
    return tuple(Form(kind, compiled(source), read, note, tuple(needs)) for source in sources)


ROUNDS = 6
"""Limit on the rounds of ``readings``. A word beside a longer one is found one round later, and real requests need
at most three or four rounds."""


@cache
def compiled(source: str) -> re.Pattern[str]:
    """Compiles a pattern with ASCII rules, so that only plain digits count as digits."""
    return re.compile(source, re.ASCII)


def told(said: Said) -> bool:
    """Returns True: the value of a form that only says yes."""
    return True


def readings(text: Text, declared: Sequence[Form]) -> list[Reading]:
    """Claims what the forms understand, longest first, until nothing is left. The result is in text order."""
    found: list[Reading] = []
    for _ in range(ROUNDS):
        taken = list(_round(text, declared))
        found += taken
        if not taken:
            break
    return sorted(found, key=lambda reading: reading.said.span())


def _round(text: Text, declared: Sequence[Form]) -> Iterable[Reading]:
    view = text.view
    tried = [form for form in declared if not form.needs or any(word in view for word in form.needs)]
    matches = [(form, match) for form in tried for match in form.pattern.finditer(view) if match[0].strip()]
    for form, match in sorted(matches, key=lambda pair: -len(pair[1][0])):
        start, end = match.span()
        if text.view[start:end] == match[0]:
            text.claim(match)
            yield Reading(form, Said(match, text))
