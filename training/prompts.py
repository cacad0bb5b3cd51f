"""Writes the emoji prompt sets: 128 captions to search with, 128 to confirm with, 64 that neither ever sees.

Trained and held-out pairs are mixed alike in all three.
"""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

from objects import caption_of, pairs

FOLDER = Path(__file__).parent.parent / "src" / "hasten" / "assets" / "prompts"
COUNTS = {"search": 128, "held-out": 128, "fresh": 64}


def main() -> None:
    every = [caption_of(pair) for part in pairs() for pair in part]
    random.Random(2024).shuffle(every)
    captions = iter(every)
    for split, count in COUNTS.items():
        (FOLDER / f"emoji-{split}.txt").write_text("\n".join(islice(captions, count)) + "\n")


if __name__ == "__main__":
    main()
