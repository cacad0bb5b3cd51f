"""How a request is read: every kind of thing declares its forms, and where two overlap the longer one is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hasten.language._text import Text


class Said:
    """A match on the view of a request, which is lower case, and the same places as they were written."""

    def __init__(self, match: re.Match[str], text: Text) -> None:
        self._match, self._original = match, text.original

    def __getitem__(self, group: str | int) -> str:
        return self._match[group] or ""

    def get(self, group: str) -> str:
        """The text of a group, empty where the form has none of that name."""
        return self._match.groupdict().get(group) or ""

    def groups(self) -> dict[str, str]:
        """The groups that matched, by their names."""
        return {name: said for name, said in self._match.groupdict().items() if said}

    def written(self, group: str | int = 0) -> str:
        """A group as the user wrote it."""
        return self._original[slice(*self._match.span(group))].strip()

    def span(self) -> tuple[int, int]:
        return self._match.span()


@dataclass(frozen=True)
class Form:
    """One way to say one kind of thing.

    ``read`` gives the value of a match, and may raise InputError for one that cannot be. ``note`` says beside the
    value how it was taken, where the words are not literal. Without ``needs`` among its words a request has no
    such form: a cheap test before the pattern is tried.
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
        """The value. Raises InputError for one that cannot be."""
        return self.form.read(self.said)

    def notes(self) -> tuple[str, ...]:
        """How it was taken, where the words are not literal."""
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
    """Forms of one kind that are read alike."""
    return tuple(Form(kind, compiled(source), read, note, tuple(needs)) for source in sources)


ROUNDS = 6
"""A word beside a longer one is found in the round after it; nobody's request needs more than three or four."""


@cache
def compiled(source: str) -> re.Pattern[str]:
    """ASCII, so that only plain digits are digits."""
    return re.compile(source, re.ASCII)


def told(said: Said) -> bool:
    """The value of a form that only says yes."""
    return True


def readings(text: Text, declared: Sequence[Form]) -> list[Reading]:
    """Claims what the forms understand, longest first, until nothing more is found; in the order of the text."""
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
