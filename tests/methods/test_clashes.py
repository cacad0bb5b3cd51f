"""Which methods clash follows from what they declare of themselves. The pairs and the reasons are pinned here."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path

import pytest

import hasten.methods
from hasten.methods import METHODS, clash

SAME_WORK = "replace the same work"
INSIDE = "cannot be used together, as what the one changes is inside the blocks that the other compiles"
REPLAYED = "cannot be used together, as what the one does anew each time the other would replay as it was"
WEIGHTS = "cannot be used together, as both change the same weights; a pipeline of 16 bits can be quantised"
ALL_STEPS = "cannot be used together, as the lists of the one are measured for all steps"
CLASHES = {
    SAME_WORK: {
        ("deepcache", "faster_cache"),
        ("deepcache", "schedule"),
        ("deepcache", "taylorseer"),
        ("faster_cache", "first_block_cache"),
        ("faster_cache", "guidance_cutoff"),
        ("faster_cache", "magcache"),
        ("faster_cache", "pyramid_attention"),
        ("faster_cache", "schedule"),
        ("faster_cache", "taylorseer"),
        ("faster_cache", "tgate"),
        ("first_block_cache", "magcache"),
        ("first_block_cache", "taylorseer"),
        ("guidance_cutoff", "schedule"),
        ("guidance_cutoff", "tgate"),
        ("magcache", "taylorseer"),
        ("pyramid_attention", "schedule"),
        ("pyramid_attention", "tgate"),
        ("schedule", "taylorseer"),
        ("schedule", "tgate"),
    },
    INSIDE: {
        ("compile", name)
        for name in ("faster_cache", "first_block_cache", "magcache", "pyramid_attention", "tgate", "tome")
    },
    REPLAYED: {
        ("channels_last", "cuda_graph"),
        *(
            ("cuda_graph", name)
            for name in (
                "faster_cache",
                "first_block_cache",
                "half_precision",
                "magcache",
                "pyramid_attention",
                "quantize",
                "schedule",
                "tgate",
                "tome",
            )
        ),
    },
    WEIGHTS: {("half_precision", "quantize")},
    ALL_STEPS: {("fewer_steps", "schedule")},
}
"""The pairs of methods that cannot be used together, by the reason that is told."""


@pytest.mark.parametrize("pair", combinations(METHODS.names(), 2), ids="+".join)
def test_these_pairs_clash_and_no_others(pair: tuple[str, str]) -> None:
    one, other = map(METHODS.get, pair)
    reason = next((reason for reason, pairs in CLASHES.items() if pair in pairs), None)
    told = f"{one.title} and {other.title} {reason}: use one of them." if reason else None
    assert clash((one, other)) == told
    assert (clash((other, one)) is None) == (told is None)


def test_a_new_method_clashes_by_what_it_declares() -> None:
    """It is safe by default: neither compiled nor replayed beside others, unless it says so."""

    class Toy(type(METHODS.get("taylorseer"))):  # type: ignore[misc]
        name, title, replaces, compilable, replay = "toy", "Toy", ("guidance",), False, "never"

    toy = Toy()
    found = {name for name in METHODS.names() if clash((toy, METHODS.get(name)))}
    assert found == {"compile", "cuda_graph", "faster_cache", "guidance_cutoff", "schedule", "tgate"}


@pytest.mark.parametrize("name", METHODS.names())
def test_no_method_knows_another_by_name(name: str) -> None:
    """In no string of its file but docstrings and the names that people use for it."""
    tree = ast.parse((Path(hasten.methods.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    words = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not words & (set(METHODS.names()) - {name})


def test_the_pinned_pairs_are_pairs_of_methods() -> None:
    pinned = [pair for pairs in CLASHES.values() for pair in pairs]
    assert len(pinned) == len(set(pinned)) == 37
    assert set(pinned) <= set(combinations(METHODS.names(), 2))
