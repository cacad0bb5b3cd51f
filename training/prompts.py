"""Writes the scenes' prompt sets: 128 captions to search with, 128 to confirm with, 64 that neither ever sees.

Trained and withheld combinations are mixed alike in all three: one in four is withheld.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from hasten.scenes import COLOURS, LAYOUTS, NUMBERS, PATTERNS, THINGS, THINGS_IN, Scene, caption, countable

FOLDER = Path(__file__).parent.parent / "src" / "hasten" / "assets" / "prompts"
COUNTS = {"search": 128, "held-out": 128, "fresh": 64}
SHARES = (0.26, 0.18, 0.18, 0.20, 0.18)
PATTERN_SHARES = (0.31, 0.23, 0.23, 0.23)
"""As the training's."""


def scene(dice: random.Random) -> Scene:
    """A scene at random, trained or withheld."""
    (layout,), (pattern,) = dice.choices(LAYOUTS, SHARES), dice.choices(PATTERNS, PATTERN_SHARES)
    several = layout == "several"
    things = dice.sample([t for t in THINGS if not several or countable(t)], THINGS_IN[layout])
    colours = dice.sample(list(COLOURS), 1 if pattern == "plain" else 2)
    return Scene(layout, tuple(things), tuple(colours), pattern, dice.choice(list(NUMBERS)) if several else 1)


def sets() -> dict[str, list[str]]:
    """The captions of each set; no caption is in two."""
    dice, seen = random.Random(2024), set()
    made: dict[str, list[str]] = {}
    for name, count in COUNTS.items():
        made[name] = []
        while len(made[name]) < count:
            text = caption(found := scene(dice))
            withheld = len(made[name]) % 4 == 3
            if text not in seen and found.withheld == withheld:
                made[name].append(text)
                seen.add(text)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    for split, captions in sets().items():
        (out / f"emoji-{split}.txt").write_text("\n".join(captions) + "\n")
