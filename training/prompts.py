"""Writes the emoji prompt sets: 128 captions to search with and 128 others to confirm with."""

from __future__ import annotations

import random
from pathlib import Path

from objects import caption_of, pairs

FOLDER = Path(__file__).parent.parent / "src" / "hasten" / "assets" / "prompts"
COUNT = 128


def main() -> None:
    every = [caption_of(pair) for part in pairs() for pair in part]
    random.Random(2024).shuffle(every)
    for number, split in enumerate(("search", "held-out")):
        chosen = every[number * COUNT : (number + 1) * COUNT]
        (FOLDER / f"emoji-{split}.txt").write_text("\n".join(chosen) + "\n")


if __name__ == "__main__":
    main()
