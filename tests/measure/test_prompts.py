"""Built-in prompt sets and people's own files."""

from __future__ import annotations

import json
import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from hasten.errors import InputError
from hasten.measure.prompts import SHOWN, PromptSet, load, prompt_set_names, short

LITTLE = set(
    re.findall(r"\w+", "a an the of in on with and to by at its his her from into under over is for near no")
)


def words(caption: str) -> frozenset[str]:
    """What a caption is about: its words without the little ones, and without the plural's s."""
    return frozenset(w.removesuffix("s") for w in re.findall(r"\w+", caption.lower()) if w not in LITTLE)


def written(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", prompt_set_names())
def test_built_in_sets_are_big_enough_and_disjoint(name: str) -> None:
    found = load(name)
    assert [len(split) for split in (found.search, found.held_out, found.fresh)] == [128, 128, 64]
    every = [*found.search, *found.held_out, *found.fresh]
    assert len({prompt.casefold() for prompt in every}) == 320


def test_general_captions_are_no_variants_of_one_another() -> None:
    found = load("general")
    about = [words(caption) for caption in (*found.search, *found.held_out, *found.fresh)]
    assert max(len(a & b) / len(a | b) for a, b in combinations(about, 2)) <= 0.4


@pytest.mark.parametrize("split", ["search", "held-out", "fresh"])
def test_every_split_of_general_has_the_hard_kinds_early_on(split: Any) -> None:
    """A verdict takes 32 prompts from the beginning: those have text, numbers and long captions among them."""
    first = load("general").of(split)[:32]
    assert any('"' in caption for caption in first)
    assert any(
        re.search(r"\b(two|three|four|five|six|seven|eight|nine|ten)\b", caption, re.I) for caption in first
    )
    assert any(len(caption.split()) >= 25 for caption in first)
    assert sum(caption.isascii() for caption in load("general").of(split)) >= 60
    assert max(len(caption.split()) for caption in load("general").of(split)) <= 45  # 77 tokens of CLIP


def test_general_has_letters_beyond_ascii() -> None:
    found = load("general")
    assert {"é", "ñ", "天"} <= set("".join((*found.search, *found.held_out, *found.fresh)))


def test_general_is_built_in() -> None:
    assert "general" in prompt_set_names()


def test_lines_of_a_file_are_dealt_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\ufeffa dog\n\n  a cat \na dog\nA  Dog\na bus\nein Käse", encoding="utf-8")
    assert load(path) == PromptSet(str(path), ("a dog", "a bus"), ("a cat", "ein Käse"))


@pytest.mark.parametrize("name", ["mine.txt", "mine.json"])
def test_long_prompts_and_emoji_are_kept_whole(tmp_path: Path, name: str) -> None:
    prompts = ("a 🐼 in a 👩‍🚀 suit", "word " * 1999 + "words", "🎈" * 10_000)
    path = tmp_path / name
    lines = "\n".join(prompts) if name.endswith("txt") else json.dumps(prompts)
    path.write_text(lines, encoding="utf-8")
    found = load(path)
    assert (found.search, found.held_out) == (prompts[::2], prompts[1::2])


@pytest.mark.parametrize(
    "entry",
    [
        lambda text: text,
        lambda text: {"caption": text, "id": 3},
        lambda text: {"id": 3, "prompt": text},
        lambda text: {"text": text},
        lambda text: {"text": "another", "caption": text},
    ],
)
def test_json_lists(tmp_path: Path, entry: Any) -> None:
    path = written(tmp_path / "mine.JSON", [entry(text) for text in ("a dog", "a\n cat ", "a dog", " ", "a bus")])
    found = load(path)
    assert (found.search, found.held_out) == (("a dog", "a bus"), ("a cat",))


def test_of_cocos_captions_each_image_gives_its_first(tmp_path: Path) -> None:
    notes = [(7, "A dog. "), (9, "A cat.\n"), (7, "A brown dog."), (8, "A bus."), (9, "A tabby.")]
    data = {
        "info": {"year": 2014},
        "images": [{"id": 7}],
        "annotations": [{"id": i, "image_id": image, "caption": text} for i, (image, text) in enumerate(notes)],
    }
    found = load(written(tmp_path / "captions_val2014.json", data))
    assert (found.search, found.held_out) == (("A dog.", "A bus."), ("A cat.",))


def test_annotations_without_images_all_count(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.json", {"annotations": [{"caption": "a dog"}, {"caption": "a cat"}]})
    assert load(path).held_out == ("a cat",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}, "Entry 1 .*no prompt.*'image_id', 'bbox'"),
        ({"prompts": ["a", "b"]}, "an object with 'prompts'.*Allowed is a list of texts"),
        ({}, "an empty object"),
        ("a dog", "holds 'a dog'"),
        (None, "holds None"),
        (["a dog", 7], r"Entry 2 .*it is 7\..*'caption', 'prompt' or 'text'"),
        (["a dog", {"caption": None}], "Entry 2 .*an object with 'caption'"),
        (["a dog", ["a cat"]], "Entry 2 .*a list"),
        (["a dog", "a \ud83d cat"], "Entry 2 .*half a character"),
        ([], "holds no prompts"),
        (["a dog"], "holds one prompt only"),
    ],
)
def test_json_that_holds_no_prompts(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(written(tmp_path / "mine.json", data))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no prompts"),
        ('["a dog", ', "is no JSON: .*line 1 column"),
        ("a dog\na cat", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_damaged_json(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load(path)


TWO = (("a dog",), ("a cat, asleep",))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.jsonl", '{"prompt": "a dog"}\n\n{"id": 2, "prompt": "a cat, asleep"}\n'),
        ("mine.JSONL", '{"TEXT": "a dog", "url": "x"}\r\n{"TEXT": "a cat, asleep"}'),
        ("mine.ndjson", '"a dog"\n"a cat, asleep"'),
        ("mine.csv", 'caption\na dog\n"a cat, asleep"\n'),
        ("mine.csv", 'id,Prompt,seed\r\n1,a dog,7\r\n\r\n2,"a cat,\r\n asleep",8\r\n'),
        ("mine.csv", "\ufeffid;text\n1;a dog\n2;a cat, asleep\n"),
        ("mine.tsv", "Prompt\tCategory\na dog\tAnimals\na cat, asleep\tAnimals\n"),
        ("mine.txt", "a dog\na cat, asleep\n"),
    ],
)
def test_lines_of_json_and_tables_give_what_is_in_them(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    found = load(path)
    assert (found.search, found.held_out) == TWO


def test_braces_and_brackets_of_prompts_are_no_json(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("{red|blue} dog\n[a:b:0.5] cat\n", encoding="utf-8")
    assert load(path).search == ("{red|blue} dog",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.jsonl", '{"prompt": "a dog"}\na cat\n', r"Line 2 of .*mine.jsonl' is no JSON: .*Mend it"),
        (
            "mine.jsonl",
            '{"prompt": "a dog"}\n{"id": 7}\n',
            "Line 2 of .* no prompt: it is an object with 'id'",
        ),
        ("mine.jsonl", "", "holds no prompts"),
        (
            "mine.csv",
            "id,words\n1,a dog\n",
            "no column of prompts: its first row is 'id,words'",
        ),
        ("mine.csv", "a dog\na cat\n", r"no column of prompts: its first row is 'a dog'.*belong into a .txt"),
        ("mine.csv", "id,prompt\n1,a dog\n2\n", r"Line 3 of .* has 1 cells: its prompt would be in cell 2"),
        ("mine.csv", 'prompt\n"a dog\n', r"is no row of a table"),
        ("mine.csv", "\n", "holds no prompts"),
        ("mine.txt", '{"prompt": "a dog"}\n{"prompt": "a cat"}\n', "holds JSON: give .* ends in .jsonl"),
        ("mine.txt", '[\n"a dog",\n"a cat"\n]', "holds JSON: give .* ends in .json"),
        ("mine.txt", "a dog\na\0cat\n", "line 2 has a NUL byte"),
        ("mine.jsonl", '{"prompt": "a\0dog"}', "line 1 has a NUL byte"),
        ("mine.csv", "prompt\na\0dog\n", "line 2 has a NUL byte"),
    ],
)
def test_lines_and_tables_that_hold_no_prompts(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no prompts"),
        ("\n \n", "holds no prompts"),
        ("only one", "holds one prompt only"),
        ("twice\nTwice\n", "holds one prompt only"),
    ],
)
def test_too_few_prompts(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{message}.*two or more different prompts"):
        load(path)


def test_missing_file_names_the_built_in_sets() -> None:
    with pytest.raises(InputError, match=r"Did you mean 'general'\?.*one of the built-in sets: .*general"):
        load("genral")


def test_a_prompt_in_the_place_of_a_file() -> None:
    with pytest.raises(InputError, match="No prompts at 'a dog a dog") as caught:
        load("a dog " * 2000)
    assert len(str(caught.value)) < 300


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path))}' is a folder. Give one file"):
        load(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("name", ["mine.txt", "mine.json"])
def test_other_encodings(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_text('["ein Käse"]', encoding=encoding)
    with pytest.raises(InputError, match=r"cannot be read as UTF-8 text.*Save the file as text in UTF-8"):
        load(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("a dog\na cat")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        load(path)


@pytest.mark.parametrize("fresh", [{"held_out": ("A Cat",)}, {"held_out": ("a bus",), "fresh": ("a cat",)}])
def test_splits_share_no_prompt(fresh: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(InputError, match="'a cat' in two splits"):
        PromptSet("mine", ("a dog", "a cat"), **fresh)


def test_a_set_without_fresh_prompts_says_so() -> None:
    with pytest.raises(InputError, match="'mine' has no fresh prompts"):
        PromptSet("mine", ("a dog",), ("a cat",)).of("fresh")


def test_the_fingerprint_is_of_what_trials_use() -> None:
    plain = PromptSet("mine", ("a dog",), ("a cat",))
    assert plain.fingerprint == PromptSet("yours", ("a dog",), ("a cat",), ("a bus",)).fingerprint
    others = (PromptSet("mine", ("a dog",), ("a bus",)), PromptSet("mine", ("a cat",), ("a dog",)))
    assert len({plain.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_short() -> None:
    assert short("a dog") == "a dog"
    assert short("🐼" * 10_000) == "🐼" * (SHOWN - 1) + "…"
