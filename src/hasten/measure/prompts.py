"""Sets of prompts in three splits: for the search, for its verdict (held out), and for verifying a script
(fresh)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from hasten.errors import InputError, nearest
from hasten.measure._prompt_files import read_prompts
from hasten.models import ASSETS
from hasten.records import Split

FOLDER = ASSETS / "prompts"
SHOWN = 60
"""The most characters of a prompt in a message."""


@dataclass(frozen=True)
class PromptSet:
    """Prompts for the search, prompts that only the verdict uses, and prompts that only ``verify`` uses.

    No two splits share a prompt. ``search`` and ``held_out`` have at least one prompt; ``fresh`` may be empty.

    Raises:
        InputError: a split is empty that must not be, or two splits share a prompt.

    Example:
        >>> PromptSet("mine", search=("a red star", "a tree"), held_out=("a blue moon",))
    """

    name: str
    search: tuple[str, ...]
    held_out: tuple[str, ...]
    fresh: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.search or not self.held_out:
            raise InputError(
                f"Prompt set {self.name!r} has {len(self.search)} prompts to search with and {len(self.held_out)} "
                "held out: each needs one at least. Write two or more different prompts, one a line."
            )
        splits = [{prompt.casefold() for prompt in split} for split in (self.search, self.held_out, self.fresh)]
        for one, other in combinations(splits, 2):
            if shared := one & other:
                raise InputError(
                    f"Prompt set {self.name!r} has {short(min(shared))!r} in two splits: "
                    "a prompt that the search has seen is not held out."
                )

    def of(self, split: Split) -> tuple[str, ...]:
        """Returns the prompts of a split. Raises InputError where the set has no fresh ones."""
        prompts = {"search": self.search, "held-out": self.held_out, "fresh": self.fresh}[split]
        if not prompts:
            raise InputError(f"Prompt set {self.name!r} has no {split} prompts: use its held-out ones.")
        return prompts

    @property
    def fingerprint(self) -> str:
        """A hash of 16 characters over the prompts of search and verdict.

        Fresh prompts are left out, so that trials stay comparable where only these change.
        """
        prompts = json.dumps([self.search, self.held_out])
        return hashlib.sha256(prompts.encode()).hexdigest()[:16]


def prompt_set_names() -> tuple[str, ...]:
    """Returns the names of the built-in sets."""
    return tuple(sorted(path.stem.removesuffix("-search") for path in FOLDER.glob("*-search.txt")))


def load(name_or_path: str | Path | Sequence[str]) -> PromptSet:
    """Returns a set of prompts: a built-in one by its name, or one from a file or a list.

    A file is text with one prompt a line, JSON, JSON lines, a table, or COCO's captions. Prompts of a file or list
    are used once each: the odd ones (first, third, …) for the search, the even ones for the verdict.

    Raises:
        InputError: there is no such set or file, no prompts can be read from it, or it has fewer than two
            different ones.
    """
    if not isinstance(name_or_path, str | Path):
        return _halved("given", tuple(dict.fromkeys(p for text in name_or_path if (p := text.strip()))))
    name = str(name_or_path)
    if name in prompt_set_names():
        splits = (read_prompts(FOLDER / f"{name}-{split}.txt") for split in ("search", "held-out", "fresh"))
        return PromptSet(name, *splits)
    path = Path(name_or_path)
    if not _exists(path):
        near = nearest(name, prompt_set_names())
        hint = f" Did you mean {near!r}?" if near else ""
        raise InputError(
            f"No prompts at {short(name)!r}.{hint} Give a text file with one prompt a line, a .json, .jsonl, .csv "
            f"or .tsv file, or one of the built-in sets: {', '.join(prompt_set_names())}."
        )
    return _halved(name, read_prompts(path))


def _halved(name: str, prompts: tuple[str, ...]) -> PromptSet:
    """Returns a set with the odd prompts for the search and the even ones held out. Raises InputError for fewer
    than two."""
    if len(prompts) < 2:
        raise InputError(
            f"{name!r} holds {'one prompt only' if prompts else 'no prompts'}: one is needed to search with and "
            "another, held out, for the verdict. Write two or more different prompts, better 64."
        )
    return PromptSet(name, prompts[::2], prompts[1::2])


def short(prompt: str) -> str:
    """Returns the prompt, or its beginning where it is long."""
    return prompt if len(prompt) <= SHOWN else f"{prompt[: SHOWN - 1]}…"


def _exists(path: Path) -> bool:
    """Returns whether there is such a file or folder. A whole prompt in its place can be too long a name for the
    system."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:
        return False
