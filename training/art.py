"""The artwork of ``hasten.scenes.THINGS``: Noto Emoji, from the npm package emoji-datasource-google."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SHORT_NAMES = (
    "cactus", "tulip", "rose", "sunflower", "four_leaf_clover", "maple_leaf", "mushroom", "palm_tree",
    "evergreen_tree", "seedling", "tiger", "rabbit", "cat", "dog", "pig", "frog", "fox_face", "lion_face",
    "panda_face", "koala", "bear", "wolf", "unicorn_face", "cow", "mouse", "monkey_face", "hamster",
    "dragon_face", "baby_chick", "penguin", "owl", "duck", "eagle", "parrot", "flamingo", "peacock", "turkey",
    "rooster", "elephant", "rhinoceros", "giraffe_face", "zebra_face", "kangaroo", "llama", "camel",
    "gorilla", "sloth", "hedgehog", "raccoon", "skunk", "crocodile", "snake", "turtle", "sauropod", "whale",
    "dolphin", "tropical_fish", "blowfish", "shark", "octopus", "crab", "lobster", "squid", "jellyfish",
    "snail", "butterfly", "bug", "ant", "bee", "ladybug", "spider", "bat", "shell", "feather", "hotdog",
    "taco", "chestnut", "hot_pepper", "corn", "tomato", "eggplant", "grapes", "watermelon", "tangerine",
    "lemon", "banana", "pineapple", "apple", "pear", "peach", "cherries", "strawberry", "hamburger", "pizza",
    "meat_on_bone", "rice_ball", "bread", "fries", "icecream", "doughnut", "cookie", "chocolate_bar", "candy",
    "lollipop", "honey_pot", "birthday", "fried_egg", "wine_glass", "cocktail", "beer", "popcorn",
    "croissant", "avocado", "carrot", "pancakes", "broccoli", "pretzel", "sandwich", "cheese_wedge",
    "cupcake", "garlic", "waffle", "teapot", "blueberries", "coffee",
)  # fmt: skip
"""The things' names in emoji.json, in the order of ``THINGS``."""


def pack(archive: Path, out: Path) -> None:
    """Takes the chosen 64-pixel PNGs from the npm archive and saves one array.

    Args:
        archive: ``emoji-datasource-google-16.0.0.tgz`` as ``npm pack`` leaves it.
        out: npz file; ``art`` is (things, 64, 64, 4) uint8, RGBA.
    """
    with tarfile.open(archive) as tar:
        index = {e["short_name"]: e["image"] for e in json.load(tar.extractfile("package/emoji.json"))}
        names = [f"package/img/google/64/{index[short]}" for short in SHORT_NAMES]
        art = [np.asarray(Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGBA")) for name in names]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, art=np.stack(art))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=pack.__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "work" / "emoji64.npz")
    options = parser.parse_args()
    pack(options.archive, options.out)
    print(f"{len(SHORT_NAMES)} things in {options.out}")
