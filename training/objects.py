"""What the first generation of emoji models draws, which is shipped until all four of the second are trained:
objects by their short name in emoji-datasource, and background colours."""

from __future__ import annotations

import random

# short name in emoji.json -> the words of the caption
OBJECTS = {
    "cactus": "a cactus", "tulip": "a tulip", "rose": "a rose", "sunflower": "a sunflower",
    "four_leaf_clover": "a four-leaf clover", "maple_leaf": "a maple leaf", "mushroom": "a mushroom",
    "palm_tree": "a palm tree", "evergreen_tree": "a pine tree", "seedling": "a seedling",
    "tiger": "a tiger", "rabbit": "a rabbit", "cat": "a cat", "dog": "a dog", "pig": "a pig", "frog": "a frog",
    "fox_face": "a fox", "lion_face": "a lion", "panda_face": "a panda", "koala": "a koala", "bear": "a bear",
    "wolf": "a wolf", "unicorn_face": "a unicorn", "cow": "a cow", "mouse": "a mouse", "monkey_face": "a monkey",
    "hamster": "a hamster", "dragon_face": "a dragon", "baby_chick": "a chick", "penguin": "a penguin",
    "owl": "an owl", "duck": "a duck", "eagle": "an eagle", "parrot": "a parrot", "flamingo": "a flamingo",
    "peacock": "a peacock", "turkey": "a turkey", "rooster": "a rooster", "elephant": "an elephant",
    "rhinoceros": "a rhinoceros", "giraffe_face": "a giraffe", "zebra_face": "a zebra", "kangaroo": "a kangaroo",
    "llama": "a llama", "camel": "a camel", "gorilla": "a gorilla", "sloth": "a sloth", "hedgehog": "a hedgehog",
    "raccoon": "a raccoon", "skunk": "a skunk", "crocodile": "a crocodile", "snake": "a snake",
    "turtle": "a turtle", "sauropod": "a dinosaur", "whale": "a whale", "dolphin": "a dolphin",
    "tropical_fish": "a tropical fish", "blowfish": "a puffer fish", "shark": "a shark", "octopus": "an octopus",
    "crab": "a crab", "lobster": "a lobster", "squid": "a squid", "jellyfish": "a jellyfish", "snail": "a snail",
    "butterfly": "a butterfly", "bug": "a caterpillar", "ant": "an ant", "bee": "a bee", "ladybug": "a ladybug",
    "spider": "a spider", "bat": "a bat", "shell": "a seashell", "feather": "a feather",
    "hotdog": "a hot dog", "taco": "a taco", "chestnut": "a chestnut", "hot_pepper": "a chili pepper",
    "corn": "an ear of corn", "tomato": "a tomato", "eggplant": "an eggplant", "grapes": "grapes",
    "watermelon": "a watermelon", "tangerine": "a tangerine", "lemon": "a lemon", "banana": "a banana",
    "pineapple": "a pineapple", "apple": "a red apple", "pear": "a pear", "peach": "a peach",
    "cherries": "cherries", "strawberry": "a strawberry", "hamburger": "a hamburger", "pizza": "a pizza",
    "meat_on_bone": "meat on a bone", "rice_ball": "a rice ball", "bread": "a loaf of bread",
    "fries": "french fries", "icecream": "an ice cream cone", "doughnut": "a doughnut", "cookie": "a cookie",
    "chocolate_bar": "a chocolate bar", "candy": "a candy", "lollipop": "a lollipop", "honey_pot": "a honey pot",
    "birthday": "a birthday cake", "fried_egg": "a fried egg", "wine_glass": "a glass of wine",
    "cocktail": "a cocktail", "beer": "a mug of beer", "popcorn": "popcorn", "croissant": "a croissant",
    "avocado": "an avocado", "carrot": "a carrot", "pancakes": "pancakes", "broccoli": "broccoli",
    "pretzel": "a pretzel", "sandwich": "a sandwich", "cheese_wedge": "a piece of cheese",
    "cupcake": "a cupcake", "garlic": "garlic", "waffle": "a waffle", "teapot": "a teapot",
    "blueberries": "blueberries", "coffee": "a cup of coffee",
}  # fmt: skip

# mid tones, so that every object stands out from every background; RGB, 0 to 255
COLOURS = {
    "red": (214, 69, 65), "orange": (242, 150, 60), "yellow": (247, 220, 100), "green": (80, 170, 100),
    "blue": (75, 135, 220), "purple": (145, 95, 190), "pink": (245, 170, 205), "gray": (150, 150, 150),
}  # fmt: skip

HELD_OUT_PER_COLOUR = 12


def caption(thing: str, colour: str) -> str:
    """``a strawberry on a blue background``."""
    return f"{thing} on {'an' if colour[0] in 'aeiou' else 'a'} {colour} background"


def pairs() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Trained and held-out (object, colour) index pairs; every object misses at most one colour."""
    order = list(range(len(OBJECTS)))
    random.Random(16).shuffle(order)
    held = {
        (thing, colour)
        for colour in range(len(COLOURS))
        for thing in order[colour * HELD_OUT_PER_COLOUR : (colour + 1) * HELD_OUT_PER_COLOUR]
    }
    every = [(thing, colour) for thing in range(len(OBJECTS)) for colour in range(len(COLOURS))]
    return [p for p in every if p not in held], sorted(held)


def caption_of(pair: tuple[int, int]) -> str:
    """The caption of an index pair."""
    return caption(list(OBJECTS.values())[pair[0]], list(COLOURS)[pair[1]])
