"""Built-in prompt sets and people's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hasten.errors import InputError
from hasten.measure.prompts import PromptSet, load, prompt_set_names


@pytest.mark.parametrize("name", prompt_set_names())
def test_built_in_sets_are_big_enough_and_disjoint(name: str) -> None:
    found = load(name)
    search, held_out = ({p.casefold() for p in split} for split in (found.search, found.held_out))
    assert len(search) >= 64
    assert len(held_out) >= 64
    assert not search & held_out


def test_general_is_built_in() -> None:
    assert "general" in prompt_set_names()


def test_lines_of_a_file_are_dealt_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\ufeffa dog\n\n  a cat \na dog\na bus\nein Käse", encoding="utf-8")
    assert load(path) == PromptSet(str(path), ("a dog", "a bus"), ("a cat", "ein Käse"))


@pytest.mark.parametrize("text", ["", "\n \n", "only one", "twice\ntwice\n"])
def test_too_few_prompts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="two or more different prompts"):
        load(path)


def test_missing_file_names_the_built_in_sets() -> None:
    with pytest.raises(InputError, match=r"Did you mean 'general'\?.*one of the built-in sets: .*general"):
        load("genral")


def test_no_text(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load(path)


def test_held_out_prompts_are_no_search_prompts() -> None:
    with pytest.raises(InputError, match="both splits"):
        PromptSet("mine", ("a dog", "a cat"), ("a cat",))
