"""The scenes' captions: built and read alike, and the combinations that were kept from the training."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from hasten.errors import InputError
from hasten.scenes import (
    COLOURS,
    LAYOUTS,
    NUMBERS,
    PATTERNS,
    THINGS,
    THINGS_IN,
    Scene,
    alternatives,
    caption,
    countable,
    parse,
    plural,
)


def a_scene(dice: random.Random) -> Scene:
    layout, pattern = dice.choice(LAYOUTS), dice.choice(PATTERNS)
    several = layout == "several"
    things = dice.sample([t for t in THINGS if not several or countable(t)], THINGS_IN[layout])
    colours = dice.sample(list(COLOURS), 1 if pattern == "plain" else 2)
    return Scene(layout, tuple(things), tuple(colours), pattern, dice.choice(list(NUMBERS)) if several else 1)


def test_what_is_built_is_read_again() -> None:
    dice = random.Random(0)
    for scene in (a_scene(dice) for _ in range(2000)):
        assert parse(caption(scene)) == scene


def test_every_thing_is_read_alone_and_in_numbers() -> None:
    for thing in THINGS:
        assert parse(f"{thing} on an orange background") == Scene("alone", (thing,), ("orange",))
        if countable(thing):
            several = parse(f"three {plural(thing)} on a red and blue dotted background")
            assert several == Scene("several", (thing,), ("red", "blue"), "dotted", 3)


@pytest.mark.parametrize(
    ("scene", "text"),
    [
        (Scene("left of", ("a fox", "a cactus"), ("red", "blue"), "striped"),
         "a fox left of a cactus on a red and blue striped background"),
        (Scene("several", ("an ear of corn",), ("orange",), count=2), "two ears of corn on an orange background"),
        (Scene("in a row", ("meat on a bone", "a cow", "popcorn"), ("gray",)),
         "meat on a bone, a cow and popcorn in a row on a gray background"),
    ],
)  # fmt: skip
def test_captions_read_as_people_speak(scene: Scene, text: str) -> None:
    assert caption(scene) == text
    assert parse(f"  {text.capitalize()}. ") == scene


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a photo of a cat",
        "a fox on a teal background",
        "a fox left of a fox on a blue background",
        "a fox on a red and red striped background",
        "two popcorns on a red background",
        "five foxes on a red background",
        "a fox, a cow in a row on a red background",
    ],
)
def test_what_is_no_scene_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "alone", "things": ("a fox", "a cow"), "colours": ("red",)},
        {"layout": "several", "things": ("a fox",), "colours": ("red",)},
        {"layout": "alone", "things": ("a fox",), "colours": ("red", "blue")},
        {"layout": "alone", "things": ("a fox",), "colours": ("red",), "count": 2},
        {"layout": "several", "things": ("garlic",), "colours": ("red",), "count": 2},
    ],
)
def test_a_scene_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        Scene(**wrong)


def test_one_in_sixteen_pairs_is_withheld_and_every_thing_is_trained() -> None:
    def held(*things: str) -> bool:
        background = next(c for c in COLOURS if not any(Scene("alone", (t,), (c,)).withheld for t in things))
        return Scene("left of", things, (background,)).withheld

    pairs = list(combinations(THINGS, 2))
    assert 0.05 < sum(held(*pair) for pair in pairs) / len(pairs) < 0.075
    assert all(held(a, b) == held(b, a) for a, b in pairs[:300])
    for thing in THINGS:
        assert any(not Scene("alone", (thing,), (colour,)).withheld for colour in COLOURS)


def test_a_scene_is_withheld_for_its_background_or_its_number_too() -> None:
    alone = [Scene("alone", (t,), (c,)) for t in THINGS for c in COLOURS]
    assert 0.05 < sum(s.withheld for s in alone) / len(alone) < 0.075
    counted = [Scene("several", (t,), ("red",), count=n) for t in THINGS if countable(t) for n in NUMBERS]
    free = [s for s in counted if not Scene("alone", s.things, ("red",)).withheld]
    assert 0.04 < sum(s.withheld for s in free) / len(free) < 0.085


def test_alternatives_are_wrong_in_one_attribute_each() -> None:
    dice = random.Random(1)
    for scene in (a_scene(dice) for _ in range(200)):
        found = alternatives(scene)
        every = [other for others in found.values() for other in others]
        assert scene not in every
        assert len(set(every)) == len(every)
        assert all(other.colours == scene.colours and other.pattern == scene.pattern for other in found["things"])
        assert all(other.things == scene.things for name in ("colours", "pattern") for other in found[name])
        assert all(sorted(o.things) == sorted(scene.things) for o in found.get("layout", ()))
        assert ("layout" in found) == (len(scene.things) > 1)
