"""The contract that every method holds to, alone and beside others, on every family, bit for bit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from diffusers import AutoencoderKL, UNet2DModel
from tests.contracts.expected import (
    COMBINATIONS,
    EXPECTED,
    LARGEST,
    NAMES,
    SUPPORTED,
    Names,
    declared,
    effective,
    neutral,
    orders,
    record,
    with_most,
)
from tests.support.marks import rarely

from hasten.errors import InputError, ParameterError, UnsupportedError
from hasten.methods import METHODS, MeasuresGrid, apply, clash
from hasten.plan import Plan
from hasten.testing import checks
from hasten.testing.checks import STEPS, Subject
from hasten.testing.generating import FAMILIES, attributes, fresh

every_family = pytest.mark.parametrize("family", FAMILIES)


FITTING = {name: [family for family in FAMILIES if name in SUPPORTED[family]] for name in NAMES}
ALONE = {(found[at % len(found)], name) for at, (name, found) in enumerate(FITTING.items()) if found}
"""What ``make test`` runs of each method: the method on one of its families, which take turns."""
OFTEN = {(family, (name,)) for family, name in ALONE} | {
    (family, names) for at, family in enumerate(("sd", "pixart")) for names in LARGEST[family][at::3]
}
"""And of sets: a third of the largest ones on a family of either kind of denoiser. The other families, the sets
within these, and SDXL's, whose UNet is of the same class, are left to ``make test-full``."""


def of_families(combinations: dict[str, tuple[Names, ...]]) -> Any:
    cases = [(family, names) for family, found in combinations.items() for names in found]
    return pytest.mark.parametrize(
        ("family", "names"),
        [pytest.param(*c, id=f"{c[0]}-{'+'.join(c[1])}", marks=rarely(c not in OFTEN)) for c in cases],
    )


every_combination = of_families(COMBINATIONS)
every_neutral = of_families(
    {f: tuple(c for c in found if neutral(c, None, 4)) for f, found in COMBINATIONS.items()}
)
every_method = pytest.mark.parametrize(
    ("family", "name"),
    [pytest.param(f, n, marks=rarely((f, n) not in ALONE)) for f in FAMILIES for n in SUPPORTED[f]],
)


@pytest.fixture
def on(family: str) -> Any:
    """The family's pipeline, which each test must leave as it was."""
    subject = checks.subject(family)
    with checks.untouched(subject.pipe):
        yield subject


@pytest.fixture
def on_slim(family: str) -> Any:
    """The same, but slimmer: for what is asked of many plans, and not of how deep a UNet is."""
    subject = checks.subject(family, slim=True)
    with checks.untouched(subject.pipe):
        yield subject


def test_every_method_has_its_file() -> None:
    assert set(EXPECTED) == set(METHODS.names())


@every_neutral
def test_neutral_is_the_baseline(on: Subject, family: str, names: Names) -> None:
    checks.neutral_is_the_baseline(on, neutral(names, on.pipe, STEPS))


@every_combination
def test_effective_changes_the_image_and_repeats(on: Subject, family: str, names: Names) -> None:
    tolerance = max(EXPECTED[name].get("tolerance", 0) for name in names)
    checks.effective_changes_the_image_and_repeats(on, effective(names), tolerance)


@every_family
@pytest.mark.parametrize("name", NAMES)
def test_support_is_the_recorded_one(on: Subject, family: str, name: str, request: pytest.FixtureRequest) -> None:
    reason = METHODS.get(name).unsupported(on.pipe)
    if request.config.getoption("--refresh-recorded"):
        record(name, family, reason or {})
        return
    assert reason == EXPECTED[name]["refused"].get(family)
    if reason:
        checks.unsupported_is_an_error(on.pipe, effective((name,)), reason)


@every_method
def test_a_measured_grid_is_legal(on: Subject, name: str) -> None:
    method = METHODS.get(name)
    if not isinstance(method, MeasuresGrid):
        pytest.skip("its grid is not measured")
    checks.measured_grid_is_legal(on, method)


@every_method
def test_effective_cuts_the_recorded_work(
    on: Subject, family: str, name: str, request: pytest.FixtureRequest
) -> None:
    counts = checks.work_is_cut(on, effective((name,)))
    if request.config.getoption("--refresh-recorded"):
        record(name, family, dict(counts))
        return
    assert counts == EXPECTED[name]["counts"][family]


@of_families({f: tuple(c for c in found if declared(c)) for f, found in COMBINATIONS.items()})
def test_counted_work_is_the_declared_work(on: Subject, family: str, names: Names) -> None:
    checks.counted_work_is_the_declared_work(on, effective(names))


@every_combination
def test_no_state_leaks(on_slim: Subject, family: str, names: Names) -> None:
    checks.no_state_leaks(on_slim, effective(names))


@of_families({family: tuple(c for c in found if len(c) > 1) for family, found in COMBINATIONS.items()})
def test_removal_in_every_order(on_slim: Subject, family: str, names: Names) -> None:
    checks.removal_in_every_order(on_slim, effective(names), orders(names))


@of_families(LARGEST)
def test_nested_handles_are_one_plan(on_slim: Subject, family: str, names: Names) -> None:
    checks.nested_handles_are_one_plan(on_slim, effective(names))


@every_method
def test_twice_is_an_error(on: Subject, family: str, name: str) -> None:
    checks.twice_is_an_error(on, effective((name,)), (effective((name,)), effective(with_most(name, family))))


@every_method
def test_methods_that_clash_are_an_error(on: Subject, family: str, name: str) -> None:
    for other in (n for n in SUPPORTED[family] if n != name and clash((METHODS.get(name), METHODS.get(n)))):
        with pytest.raises(InputError, match=_clash(*sorted((name, other)))):
            apply(on.pipe, effective((name, other)))
        with apply(on.pipe, effective((name,))):
            installed = attributes(on.pipe)
            with pytest.raises(
                InputError, match=f"{METHODS.get(name).title} is already applied .* {_clash(name, other)}"
            ):
                apply(on.pipe, effective((other,)))
            assert attributes(on.pipe) == installed


def _clash(name: str, other: str) -> str:
    return re.escape(str(clash((METHODS.get(name), METHODS.get(other)))))


@pytest.mark.parametrize(
    ("family", "plan"), [(f, plan) for f in FAMILIES for n in SUPPORTED[f] for plan in EXPECTED[n]["illegal"]]
)
def test_illegal_parameters_are_an_error(on: Subject, family: str, plan: str) -> None:
    title = METHODS.get(Plan.parse(plan).methods[0]).title
    with pytest.raises(ParameterError, match=title):
        apply(on.pipe, plan, STEPS)


@pytest.mark.parametrize("name", [name for name in NAMES if not EXPECTED[name].get("takes_any")])
def test_unsupported_is_an_error(name: str) -> None:
    pipe = fresh("sd")
    pipe.unet = UNet2DModel(sample_size=8, block_out_channels=(32, 32), norm_num_groups=8, layers_per_block=1,
                            down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)  # fmt: skip
    before = attributes(pipe)
    with pytest.raises(UnsupportedError, match=r"StableDiffusionPipeline is a UNet2DModel: .* needs a "):
        apply(pipe, effective((name,)))
    assert attributes(pipe) == before
    with pytest.raises(UnsupportedError, match="AutoencoderKL has no unet"):
        apply(AutoencoderKL(), effective((name,)))


@every_family
def test_one_illegal_method_keeps_the_others_off(on: Subject, family: str) -> None:
    *others, last = max(LARGEST[family], key=len)
    with pytest.raises(ParameterError):
        apply(on.pipe, "+".join((*(EXPECTED[n]["effective"] for n in others), EXPECTED[last]["illegal"][0])))
    with pytest.raises(InputError, match="Did you mean 'deepcache'"):
        apply(on.pipe, f"deepcash(cache_interval=2)+{EXPECTED[last]['effective']}")


@every_method
def test_a_failed_install_is_undone(on: Subject, family: str, name: str) -> None:
    checks.a_failed_install_is_undone(on, name, effective(with_most(name, family)))
