"""Every situation with every method on every family: exact, or refused in one sentence.

``pytest tests/beside --refresh-recorded`` writes the cells and the page anew. A LoRA takes peft, which the extra
``dev`` brings: without it the LoRA's cells are skipped.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.beside.listed import SITUATIONS
from tests.beside.situations import Situation
from tests.contracts.expected import SUPPORTED
from tests.support.marks import rarely
from tests.support.methods import plan_of

from hasten.denoisers import denoiser_of
from hasten.errors import HastenError
from hasten.methods import apply
from hasten.testing.generating import FAMILIES, latents, slim

EXACT = "exact"
RECORDED = Path(__file__).parents[1] / "recorded" / "beside.json"
PAGE = Path(__file__).parents[2] / "docs" / "results" / "beside.md"
INTRODUCTION = """# Methods beside everything else that touches a denoiser

**Whatever else happens to a pipeline while a plan is on, the plan draws what it would draw if it were put on
afterwards, or it refuses in one sentence. Once it is removed, nothing of it is left.**

Every situation was run with every method on a small pipeline of each family (random weights, 4 steps). The tests
hold this page to it.

✓: the same image, bit for bit, as with the plan put on after the change; for ways of calling, the same at every
call. Afterwards all weights are those of a pipeline that no plan was ever on, and no module has a trace of hasten.

A number: the call is refused, or a warning says that the method left out nothing, with the sentence below the
table. Without the plan the pipeline then draws what it would have drawn.

Several pipelines on one denoiser, in a callback and in threads, interrupted calls, schedulers of second order,
timesteps that coincide in 16 bits, memory after a call, and every hook with every kind of method have tests of
their own: `tests/methods/test_beside_runs.py`, `test_beside_calls.py` and `test_beside_hooks.py`.
"""
ENDING = """
## Commands and environment

```sh
pytest tests/beside --refresh-recorded
```

CPU, one thread, Python 3.11, torch 2.13.0+cpu, diffusers 0.42.1, accelerate 1.15.0, peft 0.21.2.
"""


def cases() -> Iterator[Any]:
    """Each situation, family and method. ``make test`` runs each situation once, the methods in
    turn, but a panorama, which test_beside_calls.py has."""
    for number, situation in enumerate(SITUATIONS):
        for family in situation.families:
            names = SUPPORTED[family]
            first = family == situation.families[number % len(situation.families)]
            for name in names:
                marks = rarely(not first or name != names[number % len(names)] or situation.title == "Panorama")
                yield pytest.param(situation, family, name, marks=marks, id=f"{situation.title}-{family}-{name}")


def prepared(situation: Situation, family: str) -> Any:
    pipe = copy.deepcopy(slim(family))
    pipe.set_progress_bar_config(disable=True)
    situation.before(pipe)
    return pipe


def state(pipe: Any) -> dict[str, torch.Tensor]:
    """All tensors of the denoiser and the VAE. Those that accelerate has taken away are left out."""
    modules = {"denoiser": denoiser_of(pipe), "vae": pipe.vae}
    named = ((f"{k}.{n}", t) for k, m in modules.items() for n, t in (*m.named_parameters(), *m.named_buffers()))
    return {name: tensor.detach().clone() for name, tensor in named if not tensor.is_meta}


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        t.dtype == other[name].dtype and t.stride() == other[name].stride() and torch.equal(t, other[name])
        for name, t in one.items()
    )


@lru_cache
def without_a_plan(situation: Situation, family: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What is drawn where no plan was ever on, and the weights afterwards."""
    pipe = prepared(situation, family)
    drawer = situation.change(pipe) or pipe
    return drawn(situation, drawer), state(pipe)


def drawn(situation: Situation, pipe: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of diffusers, on pipelines that it deprecates
        return situation.calls(pipe)


def outcome(situation: Situation, family: str, name: str) -> str:
    """``exact``, or the sentence of the refusal or of the warning."""
    pipe, changes = prepared(situation, family), situation.change is not Situation.change
    drawer, refusal, told = pipe, "", list[str]()
    try:
        with apply(pipe, plan_of(name), tell=told.append):
            if changes:
                latents(pipe, num_inference_steps=1)
            drawer = situation.change(pipe) or pipe
            found = drawn(situation, drawer)
            if not changes:
                assert torch.equal(drawn(situation, drawer), found), "another call draws something else"
    except HastenError as error:
        refusal = str(error)
    image, weights = without_a_plan(situation, family)
    assert_is_plain(pipe)
    assert are_equal(state(pipe), weights), "weights are not what they were"
    if refusal:
        assert torch.equal(drawn(situation, drawer), image), "the refused pipeline draws something else"
        return refusal
    assert torch.isfinite(found).all()
    if changes:
        told.clear()  # what earlier calls had to say, some of which are shorter
        with apply(pipe, plan_of(name), tell=told.append):
            assert torch.equal(drawn(situation, drawer), found), "put on afterwards, it draws something else"
    return told[0] if told else EXACT


def assert_is_plain(pipe: Any) -> None:
    """Nothing of hasten's is left on it."""
    assert "_hasten_calls" not in vars(type(pipe))
    for path, module in denoiser_of(pipe).named_modules():
        for attribute, value in vars(module).items():
            ours = getattr(getattr(value, "func", None), "__module__", "") or ""
            assert not ours.startswith("hasten") and not attribute.startswith("_hasten"), (path, attribute)


@pytest.mark.parametrize(("situation", "family", "name"), cases())
def test_exact_or_refused(situation: Situation, family: str, name: str, request: pytest.FixtureRequest) -> None:
    if not situation.is_possible:
        pytest.skip(f"it takes {situation.needs}")
    cell = outcome(situation, family, name)
    recorded = read()
    if request.config.getoption("--refresh-recorded"):
        recorded.setdefault(family, {}).setdefault(situation.title, {})[name] = cell
        RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    assert cell == recorded[family][situation.title][name]


def read() -> dict[str, dict[str, dict[str, str]]]:
    return json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}


def test_the_page_shows_the_matrix(request: pytest.FixtureRequest) -> None:
    recorded = read()
    rows = {family: [s.title for s in SITUATIONS if family in s.families] for family in FAMILIES}
    assert {(f, t): set(SUPPORTED[f]) for f in FAMILIES for t in rows[f]} == {
        (f, t): set(cells) for f, found in recorded.items() for t, cells in found.items()
    }
    page = INTRODUCTION + "".join(section(family, rows[family], recorded[family]) for family in FAMILIES)
    page += ENDING
    if request.config.getoption("--refresh-recorded"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page


def section(family: str, titles: list[str], found: dict[str, dict[str, str]]) -> str:
    """A family's table, situations down and methods across, and the sentences below it."""
    sentences = list(dict.fromkeys(c for t in titles for n in SUPPORTED[family] if (c := found[t][n]) != EXACT))
    rows = [f"| | {' | '.join(f'`{name}`' for name in SUPPORTED[family])} |"]
    rows.append("| --- " * (len(SUPPORTED[family]) + 1) + "|")
    for title in titles:
        cells = (found[title][name] for name in SUPPORTED[family])
        rows.append(
            f"| {title} | {' | '.join('✓' if c == EXACT else str(sentences.index(c) + 1) for c in cells)} |"
        )
    told = [f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1)]
    return "\n".join(["", f"## {type(slim(family)).__name__}", "", *rows, "", *told, ""])
