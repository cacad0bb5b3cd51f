"""The declarations of denoiser classes. It imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Stream = Literal["image", "text"]
"""A kind of tokens. A transformer's block takes and returns the image's tokens, and in some classes the text's as
well."""


@dataclass(frozen=True)
class Stack:
    """Blocks that run one after another over the same tokens.

    Attributes:
        name: the attribute of the denoiser that holds them.
        gives: the streams that each block returns, in its order: one alone, or several in a tuple.

    Example:
        >>> Stack("transformer_blocks", gives=("text", "image"))
    """

    name: str
    gives: tuple[Stream, ...] = ("image",)


@dataclass(frozen=True)
class Denoiser:
    """The declaration of one class of denoisers, which also holds for its subclasses in Python.

    Attributes:
        class_name: the name of the class in diffusers.
        guidance: how its pipelines guide. *batch*: both halves are in one batch, the unconditional one first.
            *embedded*: the scale is an input of the denoiser, so that there is no second half.
        stacks: its stacks of blocks in the order they run; empty for a UNet, which has levels instead.
        joint: whether attention is over image and text together, so that there is no cross-attention.
        rows: whether its blocks are BasicTransformerBlocks over the tokens of one image, row by row.
        attentions: the attributes of a block that hold its attentions, in the order they run.
        dispatched: whether its attentions go through diffusers' dispatcher, which has backends.

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
    """Returns all declarations, in the order in which messages name them."""
    return tuple(_DENOISERS)


def declare(denoiser: Denoiser) -> None:
    """Makes a class of denoisers known to all methods. A later declaration of the same class replaces it."""
    withdraw(denoiser.class_name)
    _DENOISERS.append(denoiser)


def withdraw(class_name: str) -> None:
    """Removes the declaration of that class, if there is one."""
    _DENOISERS[:] = [denoiser for denoiser in _DENOISERS if denoiser.class_name != class_name]


@contextmanager
def declared(denoiser: Denoiser) -> Iterator[None]:
    """Declares the class inside the context, and restores the earlier declarations after it."""
    before = list(_DENOISERS)
    declare(denoiser)
    try:
        yield
    finally:
        _DENOISERS[:] = before


def declaration_of(denoiser: Any) -> Denoiser | None:
    """Returns the declaration of the denoiser's class or of its nearest declared base class, or None."""
    by_name = {d.class_name: d for d in _DENOISERS}
    return next((by_name[name] for name in class_names(denoiser.__class__) if name in by_name), None)


@cache
def class_names(kind: type) -> tuple[str, ...]:
    """Returns the names of a class and its base classes, the nearest first."""
    return tuple(c.__name__ for c in kind.__mro__)


def is_a(thing: Any, class_name: str) -> bool:
    """Returns whether the object has a class of that name. Comparing names needs no import."""
    return class_name in class_names(thing.__class__)
