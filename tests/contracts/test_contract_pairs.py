"""Every two methods that go together on a family: the same image twice, and the pipeline as it was after them."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from tests.contracts.expected import COMBINATIONS, SUPPORTED, Names, effective

from hasten.methods import METHODS, apply, clash
from hasten.testing.generating import FAMILIES, attributes, latents, slim

pytestmark = pytest.mark.full  # the largest sets of test_contract.py have a representative of each kind of pair
STEPS = 4


def pairs(family: str) -> list[Names]:
    """Those that the suite does not test among its larger sets."""
    tested = set(COMBINATIONS[family])
    together = (p for p in combinations(SUPPORTED[family], 2) if not clash(map(METHODS.get, p)))
    return [pair for pair in together if pair not in tested]


@pytest.mark.parametrize(
    ("family", "name"), [(f, n) for f in FAMILIES for n in dict.fromkeys(pair[0] for pair in pairs(f))]
)
def test_pairs_repeat_and_leave_nothing(family: str, name: str) -> None:
    pipe = slim(family)
    baseline, before = latents(pipe), attributes(pipe)
    for names in (pair for pair in pairs(family) if pair[0] == name):
        with apply(pipe, effective(names), STEPS):
            image = latents(pipe)
            assert torch.equal(latents(pipe), image), names
        assert torch.isfinite(image).all(), names
        assert not torch.equal(image, baseline) or not any(METHODS.get(n).cuts_work for n in names), names
        assert attributes(pipe) == before, names
        assert torch.equal(latents(pipe), baseline), names
