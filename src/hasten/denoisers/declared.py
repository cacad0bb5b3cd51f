"""What is known of each class of denoisers: one declaration a class. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Stream = Literal["image", "text"]
"""Whose tokens: a block of a transformer takes and gives those of the image, in some classes beside the text's."""


@dataclass(frozen=True)
class Stack:
    """Blocks that run one after the other over the same tokens.

    Attributes:
        name: the attribute of the denoiser that holds them.
        gives: the streams that each block returns, in that order: alone, or in a tuple.
    """

    name: str
    gives: tuple[Stream, ...] = ("image",)


@dataclass(frozen=True)
class Denoiser:
    """One class of denoisers. Subclasses of it in Python are taken for the same.

    Attributes:
        class_name: the class's name in diffusers.
        guidance: how its pipelines guide: both halves in one *batch*, the unconditional one first; or the scale is
            *embedded*, an input of the denoiser, so that there is no second half.
        stacks: its stacks of blocks in the order they run; none for a UNet, which has levels instead.
        joint: attention is over image and text together, so that there is no cross-attention.
        rows: its blocks are BasicTransformerBlocks over the tokens of one image, row by row.
        attentions: the attributes of a block that hold its attentions, in the order they run.
        dispatched: its attentions go through diffusers' dispatcher, which has backends.

    Example:
        >>> declare(Denoiser("SanaTransformer2DModel", guidance="batch", stacks=(Stack("transformer_blocks"),)))
    """

    class_name: str
    guidance: Literal["batch", "embedded"]
    stacks: tuple[Stack, ...] = ()
    joint: bool = False
    rows: bool = False
    attentions: tuple[str, ...] = ("attn1", "attn2")
    dispatched: bool = False


_TEXT_FIRST: tuple[Stream, ...] = ("text", "image")
_DENOISERS: list[Denoiser] = [
    Denoiser("UNet2DConditionModel", guidance="batch", rows=True),
    Denoiser("PixArtTransformer2DModel", guidance="batch", stacks=(Stack("transformer_blocks"),), rows=True),
    Denoiser(
        "SD3Transformer2DModel",
        guidance="batch",
        stacks=(Stack("transformer_blocks", _TEXT_FIRST),),
        joint=True,
        attentions=("attn", "attn2"),
    ),
    Denoiser(
        "FluxTransformer2DModel",
        guidance="embedded",
        stacks=(Stack("transformer_blocks", _TEXT_FIRST), Stack("single_transformer_blocks", _TEXT_FIRST)),
        joint=True,
        attentions=("attn",),
        dispatched=True,
    ),
]


def denoisers() -> tuple[Denoiser, ...]:
    """All that are declared, in the order that messages name them."""
    return tuple(_DENOISERS)


def declare(denoiser: Denoiser) -> None:
    """Makes a class of denoisers known to all methods; a later declaration of the same class replaces it."""
    withdraw(denoiser.class_name)
    _DENOISERS.append(denoiser)


def withdraw(class_name: str) -> None:
    """Takes the declaration of that class back, if there is one."""
    _DENOISERS[:] = [known for known in _DENOISERS if known.class_name != class_name]


@contextmanager
def declared(denoiser: Denoiser) -> Iterator[None]:
    """The class is known for as long as the context lasts; what was declared before is back after it."""
    before = list(_DENOISERS)
    declare(denoiser)
    try:
        yield
    finally:
        _DENOISERS[:] = before


def declaration_of(denoiser: Any) -> Denoiser | None:
    """What is declared of the denoiser's class, or of the nearest one above it; None where nothing is."""
    known = {d.class_name: d for d in _DENOISERS}
    return next((known[name] for name in class_names(denoiser.__class__) if name in known), None)


@cache
def class_names(kind: type) -> tuple[str, ...]:
    """The names of a class and of those above it, the nearest first."""
    return tuple(c.__name__ for c in kind.__mro__)


def is_a(thing: Any, class_name: str) -> bool:
    """Whether a class of that name is among the object's classes: asked by name so that nothing is imported."""
    return class_name in class_names(thing.__class__)
