"""The scenes that the embedded models draw: writes and reads their captions, and tells which were kept from
training.

For example *a fox left of a cactus on a red and blue striped background*: one to three different things, or
several of one thing, and a background of one colour or of two in a pattern. The module is plain Python. The
``attributes`` metric, the training and the prompt sets import it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations, permutations

from hasten.errors import InputError

THINGS = (
    "a cactus", "a tulip", "a rose", "a sunflower", "a four-leaf clover", "a maple leaf", "a mushroom",
    "a palm tree", "a pine tree", "a seedling", "a tiger", "a rabbit", "a cat", "a dog", "a pig", "a frog",
    "a fox", "a lion", "a panda", "a koala", "a bear", "a wolf", "a unicorn", "a cow", "a mouse", "a monkey",
    "a hamster", "a dragon", "a chick", "a penguin", "an owl", "a duck", "an eagle", "a parrot", "a flamingo",
    "a peacock", "a turkey", "a rooster", "an elephant", "a rhinoceros", "a giraffe", "a zebra", "a kangaroo",
    "a llama", "a camel", "a gorilla", "a sloth", "a hedgehog", "a raccoon", "a skunk", "a crocodile",
    "a snake", "a turtle", "a dinosaur", "a whale", "a dolphin", "a tropical fish", "a puffer fish",
    "a shark", "an octopus", "a crab", "a lobster", "a squid", "a jellyfish", "a snail", "a butterfly",
    "a caterpillar", "an ant", "a bee", "a ladybug", "a spider", "a bat", "a seashell", "a feather",
    "a hot dog", "a taco", "a chestnut", "a chili pepper", "an ear of corn", "a tomato", "an eggplant",
    "grapes", "a watermelon", "a tangerine", "a lemon", "a banana", "a pineapple", "a red apple", "a pear",
    "a peach", "cherries", "a strawberry", "a hamburger", "a pizza", "meat on a bone", "a rice ball",
    "a loaf of bread", "french fries", "an ice cream cone", "a doughnut", "a cookie", "a chocolate bar",
    "a candy", "a lollipop", "a honey pot", "a birthday cake", "a fried egg", "a glass of wine", "a cocktail",
    "a mug of beer", "popcorn", "a croissant", "an avocado", "a carrot", "pancakes", "broccoli", "a pretzel",
    "a sandwich", "a piece of cheese", "a cupcake", "garlic", "a waffle", "a teapot", "blueberries",
    "a cup of coffee",
)  # fmt: skip

COLOURS = {
    "red": (214, 69, 65), "orange": (242, 150, 60), "yellow": (247, 220, 100), "green": (80, 170, 100),
    "blue": (75, 135, 220), "purple": (145, 95, 190), "pink": (245, 170, 205), "gray": (150, 150, 150),
}  # fmt: skip
"""Red, green and blue, 0 to 255. They are mid tones, so that every thing stands out from every background."""

PATTERNS = ("plain", "striped", "checkered", "dotted")
LAYOUTS = ("alone", "left of", "above", "in a row", "several")
NUMBERS = {2: "two", 3: "three", 4: "four"}
THINGS_IN = {"alone": 1, "left of": 2, "above": 2, "in a row": 3, "several": 1}
"""The number of different things that a layout names."""

IRREGULAR = {
    "mouse": "mice", "wolf": "wolves", "loaf": "loaves", "leaf": "leaves", "fish": "fish",
    "jellyfish": "jellyfish", "tomato": "tomatoes",
}  # fmt: skip

THING_STRIDE = 8
"""One in this many of the other things is compared with a thing that an image should show."""
WITHHELD_ONE_IN = 16
PAIR_RULE, COUNT_RULE = 5, 3
"""Remainders that select the withheld pairs of things, and the withheld things in a number."""


@dataclass(frozen=True)
class Scene:
    """The contents of a caption.

    Attributes:
        layout: one of ``LAYOUTS``.
        things: the things with their articles, from left to right or from top to bottom; one where there are
            ``several``.
        colours: the colours of the background: one if it is plain, else two. The ground of a dotted one has the
            first.
        pattern: one of ``PATTERNS``.
        count: the number of copies of the only thing; 1 unless the layout is ``several``.
    """

    layout: str
    things: tuple[str, ...]
    colours: tuple[str, ...]
    pattern: str = "plain"
    count: int = 1

    def __post_init__(self) -> None:
        known = (
            self.layout in LAYOUTS
            and self.pattern in PATTERNS
            and set(self.things) <= set(THINGS)
            and set(self.colours) <= set(COLOURS)
        )
        if not known:
            raise InputError(f"{self!r} has a layout, thing, colour or pattern that no scene has.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        several = self.layout == "several"
        if len(self.things) != THINGS_IN[self.layout] or len(set(self.things)) != len(self.things):
            raise InputError(f"{self!r}: {self.layout!r} has {THINGS_IN[self.layout]} different things.")
        if len(set(self.colours)) != len(self.colours) or len(self.colours) != (
            1 if self.pattern == "plain" else 2
        ):
            raise InputError(f"{self!r}: a plain background has one colour, the others two different ones.")
        if (self.count in NUMBERS) != several or not (several or self.count == 1):
            raise InputError(f"{self!r}: there are several, 2 to 4, of one thing, and one of each otherwise.")
        if several and not countable(self.things[0]):
            raise InputError(f"{self!r}: {self.things[0]} is not counted.")

    @property
    def withheld(self) -> bool:
        """Whether no training image shows the scene, because a rule kept some combination in it from the training.

        One in 16 is withheld of the pairs of things, of the things on a pattern with a colour, and of the things
        in a number.
        """
        places = [THINGS.index(thing) for thing in self.things]
        colours = [list(COLOURS).index(colour) for colour in self.colours]
        pattern = PATTERNS.index(self.pattern)
        return (
            any((a + b) % WITHHELD_ONE_IN == PAIR_RULE for a, b in combinations(places, 2))
            or any((a + 5 * c + 3 * pattern) % WITHHELD_ONE_IN == 0 for a in places for c in colours)
            or (self.layout == "several" and (places[0] + 5 * self.count) % WITHHELD_ONE_IN == COUNT_RULE)
        )


def countable(thing: str) -> bool:
    """Returns whether there can be two of a thing: *a mug of beer*, but not *popcorn*."""
    return thing.startswith(("a ", "an "))


def plural(thing: str) -> str:
    """Returns the plural of a thing: *ears of corn* for *an ear of corn*."""
    bare = thing.split(" ", 1)[1]
    head, of, rest = bare.partition(" of ")
    before, space, noun = head.rpartition(" ")
    return f"{before}{space}{_plural_noun(noun)}{of}{rest}"


def _plural_noun(noun: str) -> str:
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def caption(scene: Scene) -> str:
    """Returns the caption of a scene: *two foxes on an orange background*."""
    return f"{_subject(scene)} {ground(scene)}"


def _subject(scene: Scene) -> str:
    if scene.layout == "several":
        return f"{NUMBERS[scene.count]} {plural(scene.things[0])}"
    if scene.layout == "in a row":
        first, second, third = scene.things
        return f"{first}, {second} and {third} in a row"
    return f" {scene.layout} ".join(scene.things)


def ground(scene: Scene) -> str:
    """Returns the end of the caption: *on a red and blue striped background*."""
    article = "an" if scene.colours[0][0] in "aeiou" else "a"
    pattern = "" if scene.pattern == "plain" else f" {scene.pattern}"
    return f"on {article} {' and '.join(scene.colours)}{pattern} background"


def alternatives(scene: Scene) -> dict[str, tuple[Scene, ...]]:
    """Returns, for each attribute, scenes that are wrong in it alone. Attributes without alternatives are left
    out.

    A correct image shows its own scene better than any of them.
    """
    every = {
        "things": _other_things(scene),
        "number": _other_numbers(scene),
        "layout": _other_layouts(scene),
        "colours": _other_colours(scene),
        "pattern": _other_patterns(scene),
    }
    return {name: tuple(others) for name, others in every.items() if others}


def _other_things(scene: Scene) -> list[Scene]:
    """Replaces each thing by one in ``THING_STRIDE`` of the others."""
    made = []
    for slot, thing in enumerate(scene.things):
        others = (THINGS * 2)[THINGS.index(thing) + 3 :][: len(THINGS) - 3 : THING_STRIDE]
        fine = (o for o in others if o not in scene.things and (scene.count == 1 or countable(o)))
        made += [replace(scene, things=(*scene.things[:slot], o, *scene.things[slot + 1 :])) for o in fine]
    return made


def _other_numbers(scene: Scene) -> list[Scene]:
    """Returns scenes with one thing fewer, or with another number of the only thing."""
    things = scene.things
    if scene.layout in ("alone", "several"):
        counts = [n for n in (1, *NUMBERS) if n != scene.count] if countable(things[0]) else []
        return [replace(scene, layout="several" if n > 1 else "alone", count=n) for n in counts]
    fewer = "left of" if scene.layout == "in a row" else "alone"
    return [replace(scene, layout=fewer, things=kept) for kept in combinations(things, len(things) - 1)]


def _other_layouts(scene: Scene) -> list[Scene]:
    """Returns scenes with the things in each other's places, and with "left of" and "above" exchanged."""
    orders = [replace(scene, things=order) for order in permutations(scene.things) if order != scene.things]
    turned = {"left of": "above", "above": "left of"}.get(scene.layout)
    return orders + ([replace(s, layout=turned) for s in (scene, *orders)] if turned else [])


def _other_colours(scene: Scene) -> list[Scene]:
    others = [colour for colour in COLOURS if colour not in scene.colours]
    return [
        replace(scene, colours=(*scene.colours[:slot], other, *scene.colours[slot + 1 :]))
        for slot in range(len(scene.colours))
        for other in others
    ]


def _other_patterns(scene: Scene) -> list[Scene]:
    others = [p for p in PATTERNS if p not in (scene.pattern, "plain")]
    if scene.pattern == "plain":
        seconds = [colour for colour in COLOURS if colour not in scene.colours]
        return [replace(scene, pattern=p, colours=(*scene.colours, second)) for p in others for second in seconds]
    plain = [replace(scene, pattern="plain", colours=(colour,)) for colour in scene.colours]
    return [replace(scene, pattern=p) for p in others] + plain


def parse(text: str) -> Scene:
    """Returns the scene of a caption. Capitals, a final full stop and additional spaces do not matter.

    Raises:
        InputError: the text is not a caption of a scene.
    """
    plain = " ".join(text.lower().rstrip(". \n").split())
    found = _GROUND.fullmatch(plain)
    subject = next((m for form in _SUBJECTS if found and (m := form.fullmatch(found["subject"]))), None)
    if not found or not subject:
        raise InputError(
            f"{text!r} is no scene that the embedded models draw. Say for example 'a fox left of a cactus on a "
            "blue background' or 'two foxes on a red and blue striped background'."
        )
    colours = tuple(filter(None, (found["first"], found["second"])))
    return _scene(subject.groupdict(), colours, found["pattern"] or "plain")


def _scene(subject: dict[str, str], colours: tuple[str, ...], pattern: str) -> Scene:
    if "number" in subject:
        count = next(n for n, word in NUMBERS.items() if word == subject["number"])
        return Scene("several", (_SINGULAR[subject["many"]],), colours, pattern, count)
    things = tuple(subject[name] for name in ("a", "b", "c") if name in subject)
    layout = subject.get("relation") or ("alone", "", "in a row")[len(things) - 1]
    return Scene(layout, things, colours, pattern)


def _one_of(words: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


_SINGULAR = {plural(thing): thing for thing in THINGS if countable(thing)}
_GROUND = re.compile(
    rf"(?P<subject>.+) on an? (?P<first>{_one_of(tuple(COLOURS))})"
    rf"(?: and (?P<second>{_one_of(tuple(COLOURS))}) (?P<pattern>{_one_of(PATTERNS[1:])}))? background"
)
_SUBJECTS = (
    re.compile(rf"(?P<number>{_one_of(tuple(NUMBERS.values()))}) (?P<many>{_one_of(tuple(_SINGULAR))})"),
    re.compile(rf"(?P<a>{_one_of(THINGS)})"),
    re.compile(rf"(?P<a>{_one_of(THINGS)}) (?P<relation>left of|above) (?P<b>{_one_of(THINGS)})"),
    re.compile(rf"(?P<a>{_one_of(THINGS)}), (?P<b>{_one_of(THINGS)}) and (?P<c>{_one_of(THINGS)}) in a row"),
)
