"""The support matrix of docs/support.md: every method with every scheduler on every family, found by running.

``pytest tests/contracts/test_support.py --refresh-recorded`` writes the files of the methods and the page
anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.contracts.expected import APART, NAMES, effective, neutral, record_support, support
from tests.support.marks import rarely

from hasten.methods import METHODS, apply
from hasten.models import family_of
from hasten.plan import Plan
from hasten.schedulers import SCHEDULERS, find_scheduler
from hasten.testing.generating import FAMILIES, attributes, latents, slim

STEPS = 4
HOLDS = "exact"
PAGE = Path(__file__).parents[2] / "docs" / "support.md"
INTRODUCTION = """# What works on what

Every method was run with every scheduler that fits, on a small pipeline of each family (random weights, 4 steps):
`pytest tests/contracts/test_support.py --refresh-recorded`. The tests hold this page to it.

✓: parameters that do nothing draw the baseline's image bit for bit; parameters that do something change it, and
draw the same again; without the method the baseline's image is back, bit for bit, and nothing is left on the
pipeline. A method that keeps the work and makes it cheaper need not change the image, and may have no parameters
that do nothing.
"""


@contextmanager
def scheduled(pipe: Any, scheduler: str) -> Iterator[Any]:
    before = pipe.scheduler
    pipe.scheduler = find_scheduler(scheduler).build(before.config)
    try:
        yield pipe
    finally:
        pipe.scheduler = before


def fitting(family: str) -> tuple[str, ...]:
    """The schedulers that the family takes."""
    known = family_of(slim(family))
    assert known is not None
    return known.fitting


def tried(pipe: Any, name: str, baseline: torch.Tensor) -> str:
    """``exact``, or why the method refuses the pipeline."""
    if reason := METHODS.get(name).unsupported(pipe):
        return reason
    before, (plan, steps) = attributes(pipe), _tried_plan(name)
    with apply(pipe, plan, steps):
        first, second = (latents(pipe, num_inference_steps=steps) for _ in range(2))
    whole = baseline if steps == STEPS else latents(pipe, num_inference_steps=steps)
    assert torch.isfinite(first).all()
    assert not METHODS.get(name).cuts_work or not torch.equal(first, whole), f"{name} without effect"
    assert torch.equal(first, second), f"{name} does not repeat"
    assert attributes(pipe) == before, f"{name} is not gone"
    with apply(pipe, neutral((name,), pipe, STEPS), STEPS):
        assert torch.equal(latents(pipe), baseline), f"{name} with neutral parameters, or what is left of it"
    assert attributes(pipe) == before, f"{name} is not gone"
    return HOLDS


def _tried_plan(name: str) -> tuple[Plan, int]:
    """One with effect, and the steps to try it at: PNDM's Runge-Kutta takes four, which must be left."""
    if METHODS.get(name).shortens:
        return Plan.of({name: {"reduced_steps": STEPS}}), STEPS + 1
    return effective((name,)), STEPS


OFTEN = {
    "sd": ("Heun",),
    "sdxl": (),
    "pixart": ("LCM",),
    "sd3": ("FlowMatchHeun",),
    "flux": ("FlowMatchEuler",),
}
"""What ``make test`` runs: one call a step, and two; one whose noise is drawn at each step. To the clock
the others look like one of these, and test_contract.py runs each family under its usual scheduler."""


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [pytest.param(f, s, marks=rarely(s not in OFTEN[f])) for f in FAMILIES for s in fitting(f)],
)
def test_the_matrix_is_what_runs_show(family: str, scheduler: str, request: pytest.FixtureRequest) -> None:
    with scheduled(slim(family), scheduler) as pipe:
        baseline = latents(pipe)
        found = {name: tried(pipe, name, baseline) for name in NAMES}
        assert torch.equal(latents(pipe), baseline), "the baseline's image is not back"
    if request.config.getoption("--refresh-recorded"):
        record_support(family, scheduler, found)
        return
    assert found == support(family)[scheduler]


def test_the_page_shows_the_matrix(request: pytest.FixtureRequest) -> None:
    recorded = {f: support(f) for f in FAMILIES}
    assert {f: tuple(found) for f, found in recorded.items()} == {f: fitting(f) for f in FAMILIES}
    apart = "".join(f"\n`{name}` is not in the tables: it takes long, and is tested apart.\n" for name in APART)
    page = INTRODUCTION + apart + "".join(section(family, recorded[family]) for family in FAMILIES)
    if request.config.getoption("--refresh-recorded"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page


def section(family: str, found: Mapping[str, Mapping[str, str]]) -> str:
    """A family's table, methods down and schedulers across, and below it why methods are refused."""
    names, reasons = list(next(iter(found.values()))), dict[str, str]()
    rows = ["| | " + " | ".join(found) + " |", "| --- " * (len(found) + 1) + "|"]
    for name in names:
        cells = [column[name] for column in found.values()]
        reasons |= {name: cell for cell in cells if cell != HOLDS}
        rows.append(f"| `{name}` | " + " | ".join("✓" if cell == HOLDS else "–" for cell in cells) + " |")
    told = [f"- `{name}`: {reason}." for name, reason in reasons.items()]
    title = type(slim(family)).__name__
    absent = [s.name for s in SCHEDULERS if s.name not in found]
    unfit = [f"\nNot for it: {', '.join(absent)}."] if absent else []
    return "\n".join(["", f"## {title}", "", *rows, *unfit, *(["", *told] if told else []), ""])
