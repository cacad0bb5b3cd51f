"""Prompt sets: a search split and a held-out split that share no prompt."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from hasten.errors import InputError, nearest
from hasten.models import ASSETS
from hasten.records import Split

FOLDER = ASSETS / "prompts"


@dataclass(frozen=True)
class PromptSet:
    """Prompts to search with, and prompts that only the final verdict sees. Both are non-empty and disjoint."""

    name: str
    search: tuple[str, ...]
    held_out: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.search or not self.held_out:
            raise InputError(
                f"Prompt set {self.name!r} has {len(self.search)} prompts to search with and {len(self.held_out)} "
                "held out: each needs one at least. Write two or more different prompts, one a line."
            )
        if shared := set(self.search) & set(self.held_out):
            raise InputError(f"Prompt set {self.name!r} has {min(shared)!r} in both splits: held-out is no more.")

    def of(self, split: Split) -> tuple[str, ...]:
        return self.search if split == "search" else self.held_out

    @property
    def fingerprint(self) -> str:
        """16 characters that another set of prompts does not have."""
        prompts = json.dumps([self.search, self.held_out])
        return hashlib.sha256(prompts.encode()).hexdigest()[:16]


def prompt_set_names() -> tuple[str, ...]:
    """The built-in sets."""
    return tuple(sorted(path.stem.removesuffix("-search") for path in FOLDER.glob("*-search.txt")))


def load(name_or_path: str | Path) -> PromptSet:
    """A built-in set by name, or a text file with one prompt a line.

    Lines of a file are used once each, the odd ones (first, third, …) for search, the even ones held out.

    Raises:
        InputError: no such set or file, not UTF-8 text, or fewer than two different prompts.
    """
    name = str(name_or_path)
    if name in prompt_set_names():
        return PromptSet(name, _lines(FOLDER / f"{name}-search.txt"), _lines(FOLDER / f"{name}-held-out.txt"))
    path = Path(name_or_path)
    if not path.is_file():
        near = nearest(name, prompt_set_names())
        hint = f" Did you mean {near!r}?" if near else ""
        raise InputError(
            f"No prompts at {name!r}.{hint} Give a text file with one prompt a line, "
            f"or one of the built-in sets: {', '.join(prompt_set_names())}."
        )
    lines = _lines(path)
    return PromptSet(name, lines[::2], lines[1::2])


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The prompts in {str(path)!r} cannot be read as UTF-8 text: {error}.") from None
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
