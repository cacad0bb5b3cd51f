"""The captions of specs: as scenes, and as tokens that are put together on the training device."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerBase

from data import ABOVE, COUNT, FIRST, LAYOUT, LEFT, PATTERN, ROW, SECOND, SEVERAL, A
from hasten.scenes import COLOURS, LAYOUTS, NUMBERS, PATTERNS, THINGS, THINGS_IN, Scene, countable, ground, plural

TOKENS = 32


class Words:
    """Token ids of specs, put together of the captions' pieces on the device: CLIP's, or a T5's."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, device: str, tokens: int = TOKENS) -> None:
        many = [f"{NUMBERS[k]} {plural(t)}" if countable(t) else "" for k in NUMBERS for t in THINGS]
        pieces = ["", "left of", "above", ",", "and", "in a row", *THINGS, *many, *_grounds()]
        self.thing = 6
        self.many, self.ground = self.thing + len(THINGS), self.thing + len(THINGS) + len(many)
        ids = [_inside(tokenizer, piece) for piece in pieces]
        longest = max(map(len, ids))
        self.table = torch.tensor([i + [0] * (longest - len(i)) for i in ids], device=device)
        self.length = torch.tensor([len(i) for i in ids], device=device)
        self.start, self.end, self.pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        self.first, self.tokens, self.device = int(self.start is not None), tokens, device

    def ids(self, specs: torch.Tensor, dropped: torch.Tensor | None = None) -> torch.Tensor:
        """(n, tokens), as the tokenizer gives them; those of no text where a caption is ``dropped``."""
        pieces = self._pieces(specs)
        if dropped is not None:
            pieces = pieces * ~dropped[:, None]
        length = self.length[pieces]
        after = length.cumsum(1) + self.first
        step = torch.arange(self.table.shape[1], device=self.device)
        at = torch.where(step < length[..., None], (after - length)[..., None] + step, self.tokens)
        made = torch.full((len(specs), self.tokens + 1), self.pad, device=self.device)
        made[:, : self.first] = self.start or 0
        made.scatter_(1, at.flatten(1), self.table[pieces].flatten(1))
        made.scatter_(1, after[:, -1:], self.end)
        return made[:, : self.tokens]

    def _pieces(self, specs: torch.Tensor) -> torch.Tensor:
        layout, a, b, c, count, first, second, pattern = specs.unbind(1)
        row, pair = layout == ROW, (layout == LEFT) | (layout == ABOVE)
        many = self.many + (count - 2) * len(THINGS) + a
        subject = torch.where(layout == SEVERAL, many, self.thing + a)
        joint = torch.where(row, 3, torch.where(pair, layout, 0))
        second_thing = torch.where(row | pair, self.thing + b, 0)
        third = torch.where(row, self.thing + c, 0)
        end = self.ground + (pattern * 8 + first) * 8 + second
        return torch.stack([subject, joint, second_thing, row * 4, third, row * 5, end], 1)


def _grounds() -> list[str]:
    """The ends of all captions, by pattern, first and second colour; empty where there is no such background."""
    names = list(COLOURS)
    made = []
    for pattern in PATTERNS:
        for first in names:
            for second in names:
                fits = (first == second) == (pattern == "plain")
                colours = (first,) if pattern == "plain" else (first, second)
                made.append(ground(Scene("alone", THINGS[:1], colours, pattern)) if fits else "")
    return made


def _inside(tokenizer: PreTrainedTokenizerBase, piece: str) -> list[int]:
    """A piece's tokens inside a caption: a comma follows a word without a space."""
    if piece == ",":
        return tokenizer("a,", add_special_tokens=False).input_ids[1:]
    return tokenizer(piece, add_special_tokens=False).input_ids


def spec_of(scene: Scene) -> list[int]:
    """The spec of a scene."""
    things = [THINGS.index(thing) for thing in scene.things] + [0, 0]
    colours = [list(COLOURS).index(colour) for colour in (scene.colours[0], scene.colours[-1])]
    return [LAYOUTS.index(scene.layout), *things[:3], scene.count, *colours, PATTERNS.index(scene.pattern)]


def scene_of(spec: list[int]) -> Scene:
    """The scene of a spec."""
    layout, pattern, names = LAYOUTS[spec[LAYOUT]], PATTERNS[spec[PATTERN]], list(COLOURS)
    things = tuple(THINGS[i] for i in spec[A : A + THINGS_IN[layout]])
    colours = (names[spec[FIRST]], names[spec[SECOND]])[: 1 if pattern == "plain" else 2]
    return Scene(layout, things, colours, pattern, spec[COUNT])
