"""The contract that every method holds to, alone and beside others, on every family, bit for bit."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
import torch
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
from tests.support.generating import (
    CALLS,
    FAMILIES,
    attributes,
    beside,
    blocks_of,
    counting,
    fresh,
    latents,
    shared,
    work_of,
)

from hasten.denoisers import denoiser_of, no_guided_batch
from hasten.errors import InputError, ParameterError, UnsupportedError
from hasten.methods import METHODS, apply, clash, work
from hasten.plan import Plan

STEPS = 4
every_family = pytest.mark.parametrize("family", FAMILIES)


def of_families(combinations: dict[str, tuple[Names, ...]]) -> Any:
    cases = [(family, names) for family, found in combinations.items() for names in found]
    return pytest.mark.parametrize(("family", "names"), cases, ids=[f"{f}-{'+'.join(n)}" for f, n in cases])


every_combination = of_families(COMBINATIONS)
every_neutral = of_families(
    {f: tuple(c for c in found if neutral(c, None, 4)) for f, found in COMBINATIONS.items()}
)
every_method = pytest.mark.parametrize(("family", "name"), [(f, n) for f in FAMILIES for n in SUPPORTED[f]])


@pytest.fixture
def pipe(family: str) -> Any:
    """The shared pipeline, which each test must leave as it was."""
    pipe = shared(family)
    before = attributes(pipe)
    yield pipe
    assert attributes(pipe) == before, "something is left on the denoiser"


@pytest.fixture(scope="module")
def baselines() -> dict[str, torch.Tensor]:
    return {family: latents(shared(family)) for family in FAMILIES}


@pytest.fixture(scope="module")
def plain() -> dict[str, Counter[str]]:
    """The counted work of the baselines."""
    return {family: counted(shared(family)) for family in FAMILIES}


def counted(pipe: Any) -> Counter[str]:
    """The work of a run."""
    with counting(denoiser_of(pipe)) as counts:
        latents(pipe)
    return counts


def test_every_method_has_its_line() -> None:
    assert set(EXPECTED) == set(METHODS.names())


@every_neutral
def test_neutral_is_the_baseline(
    pipe: Any, family: str, names: Names, baselines: Any, plain: dict[str, Counter[str]]
) -> None:
    with apply(pipe, neutral(names, pipe, STEPS), STEPS), counting(denoiser_of(pipe)) as counts:
        assert torch.equal(latents(pipe), baselines[family])
    assert counts == plain[family]


@every_combination
def test_effective_changes_the_image_and_repeats(pipe: Any, family: str, names: Names, baselines: Any) -> None:
    random_state = torch.get_rng_state()
    with apply(pipe, effective(names), STEPS):
        first = latents(pipe)
        torch.manual_seed(17)
        state = torch.get_rng_state()
        second = pipe(
            "a dog",
            num_inference_steps=STEPS,
            guidance_scale=7.5,
            generator=[torch.Generator().manual_seed(0)],
            output_type="latent",
            **CALLS.get(type(pipe).__name__, {}),
        ).images
        assert torch.equal(torch.get_rng_state(), state), "the global random state was used"
    torch.set_rng_state(random_state)
    assert torch.isfinite(first).all()
    if any(METHODS.get(name).cuts_work for name in names):
        assert not torch.equal(first, baselines[family])
    else:  # the same work, but for how it is rounded
        tolerance = max(EXPECTED[name]["tolerance"] for name in names)
        assert (first - baselines[family]).norm() <= tolerance * baselines[family].norm()
    assert torch.equal(first, second)
    assert torch.equal(latents(pipe), baselines[family])


@every_family
@pytest.mark.parametrize("name", NAMES)
def test_support_is_the_recorded_one(pipe: Any, family: str, name: str, request: pytest.FixtureRequest) -> None:
    reason = METHODS.get(name).unsupported(pipe)
    if request.config.getoption("--refresh-recorded"):
        record(name, family, reason or {})
        return
    assert reason == EXPECTED[name]["refused"].get(family)
    if reason:
        with pytest.raises(UnsupportedError, match=f"{METHODS.get(name).title} cannot be used here: {reason}"):
            apply(pipe, effective((name,)))


@every_method
def test_effective_cuts_the_recorded_work(
    pipe: Any, family: str, name: str, plain: dict[str, Counter[str]], request: pytest.FixtureRequest
) -> None:
    with apply(pipe, effective((name,)), STEPS):
        counts = counted(pipe)
    if request.config.getoption("--refresh-recorded"):
        record(name, family, dict(counts))
        return
    assert counts == EXPECTED[name]["counts"][family]
    if METHODS.get(name).cuts_work:
        assert any(counts[kind] < count for kind, count in plain[family].items())
        assert all(counts[kind] <= count for kind, count in plain[family].items())
    else:
        assert counts == plain[family]


@of_families({f: tuple(c for c in found if declared(c)) for f, found in COMBINATIONS.items()})
def test_counted_work_is_the_declared_work(pipe: Any, family: str, names: Names) -> None:
    steps = work(effective(names), pipe, STEPS)
    with apply(pipe, effective(names), STEPS):
        counts = counted(pipe)
    expected: Counter[str] = Counter()
    halves = 2 if no_guided_batch(pipe, "") is None else 1
    for step in steps:
        for name, block in blocks_of(denoiser_of(pipe)):
            for kind, count in work_of(block).items():
                crossing = kind == "cross_attention"
                left = step.blocks.get(name, 1.0) * count * (step.cross_attention if crossing else 1)
                expected[kind] += left
                expected["rows"] += 0 if crossing else left * (halves if step.guidance else 1)
    assert {kind: counts[kind] for kind in expected} == pytest.approx(dict(expected))


BETWEEN: dict[str, dict[str, Any]] = {
    "resolution": {"height": 96, "width": 160},
    "batch": {"prompt": ["a cat", "a bird"]},
    "no guidance": {"guidance_scale": 1.0},
    "two without guidance": {"guidance_scale": 1.0, "prompt": ["a cat", "a dog"]},
    "fewer steps": {"num_inference_steps": 3},
    "one step": {"num_inference_steps": 1},
    "one step again": {"num_inference_steps": 1, "seed": 7},
}


def _abort(pipe: Any, names: Names) -> None:
    """A run that stops half way: after four steps, or two where no more than three are left."""
    calls, last = iter(range(8)), 2 if any(METHODS.get(name).shortens for name in names) else 4

    def stop(*_: Any) -> None:
        if next(calls) == last:
            raise KeyboardInterrupt

    hook = denoiser_of(pipe).register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        latents(pipe, num_inference_steps=8)
    hook.remove()


@every_combination
def test_no_state_leaks(pipe: Any, family: str, names: Names) -> None:
    other, drawn = beside(pipe)
    alone = {}
    for name, settings in BETWEEN.items():
        with apply(pipe, effective(names)):
            alone[name] = latents(pipe, **settings)
    with apply(pipe, effective(names)):
        alone_drawn = latents(other, **drawn)
    with apply(pipe, effective(names)):
        usual = latents(pipe)
        for name, settings in BETWEEN.items():
            assert torch.equal(latents(pipe, **settings), alone[name]), name
        assert torch.equal(latents(other, **drawn), alone_drawn), "another pipeline on the denoiser"
        _abort(pipe, names)
        assert torch.equal(latents(pipe, **BETWEEN["fewer steps"]), alone["fewer steps"]), "after an aborted run"
        assert torch.equal(latents(pipe), usual)


@of_families({family: tuple(c for c in found if len(c) > 1) for family, found in COMBINATIONS.items()})
def test_removal_in_every_order(pipe: Any, family: str, names: Names, baselines: Any) -> None:
    remaining: dict[Names, torch.Tensor] = {(): baselines[family]}
    for order in orders(names):
        for applied in (order, order[::-1]):
            handles = {name: apply(pipe, effective((name,))) for name in applied}
            left = list(names)
            for name in order:
                handles[name].remove()
                left.remove(name)
                if applied is order or not left:
                    image, key = latents(pipe), tuple(left)
                    assert torch.equal(image, remaining.setdefault(key, image)), f"{order}, left {left}"
    for key, image in remaining.items():
        with apply(pipe, effective(key)):
            assert torch.equal(latents(pipe), image), "what is left is not what is left"


@of_families(LARGEST)
def test_nested_handles_are_one_plan(pipe: Any, family: str, names: Names) -> None:
    with apply(pipe, effective(names)):
        together = latents(pipe)
    for order in (names, names[::-1]):
        with ExitStack() as stack:
            for name in order:
                stack.enter_context(apply(pipe, effective((name,))))
            assert torch.equal(latents(pipe), together)


@every_method
def test_twice_is_an_error(pipe: Any, family: str, name: str) -> None:
    title = METHODS.get(name).title
    with apply(pipe, effective((name,))) as handle:
        image, installed = latents(pipe), attributes(pipe)
        for plan in (effective((name,)), effective(with_most(name, family))):
            with pytest.raises(InputError, match=f"{title} is already applied"):
                apply(pipe, plan)
        assert attributes(pipe) == installed
        assert torch.equal(latents(pipe), image)
    handle.remove()


@every_method
def test_methods_that_clash_are_an_error(pipe: Any, family: str, name: str) -> None:
    for other in (n for n in SUPPORTED[family] if n != name and clash((METHODS.get(name), METHODS.get(n)))):
        with pytest.raises(InputError, match=_clash(*sorted((name, other)))):
            apply(pipe, effective((name, other)))
        with apply(pipe, effective((name,))):
            installed = attributes(pipe)
            with pytest.raises(InputError, match=f"{METHODS.get(name).title} is applied .* {_clash(name, other)}"):
                apply(pipe, effective((other,)))
            assert attributes(pipe) == installed


def _clash(name: str, other: str) -> str:
    return re.escape(str(clash((METHODS.get(name), METHODS.get(other)))))


@pytest.mark.parametrize(
    ("family", "plan"), [(f, plan) for f in FAMILIES for n in SUPPORTED[f] for plan in EXPECTED[n]["illegal"]]
)
def test_illegal_parameters_are_an_error(pipe: Any, family: str, plan: str) -> None:
    title = METHODS.get(Plan.parse(plan).methods[0]).title
    with pytest.raises(ParameterError, match=title):
        apply(pipe, plan, STEPS)


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
def test_one_illegal_method_keeps_the_others_off(pipe: Any, family: str) -> None:
    *others, last = max(LARGEST[family], key=len)
    with pytest.raises(ParameterError):
        apply(pipe, "+".join((*(EXPECTED[n]["effective"] for n in others), EXPECTED[last]["illegal"][0])))
    with pytest.raises(InputError, match="Did you mean 'deepcache'"):
        apply(pipe, f"deepcash(cache_interval=2)+{EXPECTED[last]['effective']}")


@every_method
def test_a_failed_install_is_undone(pipe: Any, family: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = METHODS.get(name)
    install = type(method).install

    def fail(self: Any, *args: Any) -> None:
        install(self, *args)
        raise MemoryError

    monkeypatch.setattr(type(method), "install", fail)
    with pytest.raises(MemoryError):
        apply(pipe, effective(with_most(name, family)))
