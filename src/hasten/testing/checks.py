"""What every plan must keep on every pipeline, bit for bit: a function each, which fails by an assertion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch

from hasten.denoisers import denoiser_of, no_guided_batch
from hasten.errors import InputError, UnsupportedError
from hasten.measure.grids import measure_grid
from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import PromptSet
from hasten.measure.setting import setting_of
from hasten.methods import METHODS, MeasuresGrid, apply, work
from hasten.plan import Plan
from hasten.testing import generating
from hasten.testing.generating import CALLS, attributes, beside, blocks_of, counting, latents, work_of

STEPS = 4
PROMPTS = PromptSet("contract", ("a dog", "a cat"), ("a bird",))
BETWEEN: dict[str, dict[str, Any]] = {
    "resolution": {"height": 96, "width": 160},
    "batch": {"prompt": ["a cat", "a bird"]},
    "no guidance": {"guidance_scale": 1.0},
    "two without guidance": {"guidance_scale": 1.0, "prompt": ["a cat", "a dog"]},
    "fewer steps": {"num_inference_steps": 3},
    "one step": {"num_inference_steps": 1},
    "one step again": {"num_inference_steps": 1, "seed": 7},
}
"""Other calls of the pipeline, none of which may leave anything to the next."""


@dataclass(frozen=True)
class Subject:
    """A small pipeline that plans are put on, with the latents that its baseline draws and the work it counts."""

    pipe: Any
    baseline: torch.Tensor
    work: Counter[str]


@lru_cache
def subject(family: str, slim: bool = False) -> Subject:
    """The family's shared pipeline, or its slim one, which each check leaves as it was."""
    pipe = generating.slim(family) if slim else generating.shared(family)
    with counting(denoiser_of(pipe)) as counts:
        drawn = latents(pipe)
    return Subject(pipe, drawn, counts)


@contextmanager
def untouched(pipe: Any) -> Iterator[None]:
    """Nothing is left on the pipeline's denoiser, and nothing is missing."""
    before = attributes(pipe)
    yield
    assert attributes(pipe) == before, "something is left on the denoiser"


def counted(pipe: Any) -> Counter[str]:
    """The work of a run."""
    with counting(denoiser_of(pipe)) as counts:
        latents(pipe)
    return counts


def neutral_is_the_baseline(on: Subject, plan: Plan) -> None:
    """Parameters that do nothing draw the baseline's image, and leave all of its work."""
    with apply(on.pipe, plan, STEPS), counting(denoiser_of(on.pipe)) as counts:
        assert torch.equal(latents(on.pipe), on.baseline), "neutral parameters change the image"
    assert counts == on.work, "neutral parameters change the work"


def effective_changes_the_image_and_repeats(on: Subject, plan: Plan, tolerance: float | None) -> None:
    """An effective plan changes the image, or, where it leaves no work out, changes it by at most the relative
    ``tolerance``. It draws the same again, and not from torch's global generator. Without it the baseline is
    back."""
    random_state = torch.get_rng_state()
    with apply(on.pipe, plan, STEPS):
        first, second = latents(on.pipe), _drawn_with_another_random_state(on.pipe)
    torch.set_rng_state(random_state)
    assert torch.isfinite(first).all(), "the latents are not finite"
    if any(METHODS.get(name).cuts_work for name in plan.methods):
        assert not torch.equal(first, on.baseline), "the plan has no effect: give an effective one"
    else:  # the same work, but for how it is rounded
        assert (first - on.baseline).norm() <= (tolerance or 0) * on.baseline.norm(), "beyond the tolerance"
    assert torch.equal(first, second), "the same call draws another image"
    assert torch.equal(latents(on.pipe), on.baseline), "the baseline is not back after removal"


def _drawn_with_another_random_state(pipe: Any) -> torch.Tensor:
    """What ``latents`` draws; the global generator stands elsewhere, and must not be used."""
    torch.manual_seed(17)
    state = torch.get_rng_state()
    drawn: torch.Tensor = pipe(
        "a dog",
        num_inference_steps=STEPS,
        guidance_scale=7.5,
        generator=[torch.Generator().manual_seed(0)],
        output_type="latent",
        **CALLS.get(type(pipe).__name__, {}),
    ).images
    assert torch.equal(torch.get_rng_state(), state), "the global random state was used"
    return drawn


def work_is_cut(on: Subject, plan: Plan) -> Counter[str]:
    """A plan of one method leaves out work exactly where the method says that it does. Gives the counted work."""
    with apply(on.pipe, plan, STEPS):
        counts = counted(on.pipe)
    if METHODS.get(plan.methods[0]).cuts_work:
        assert any(counts[kind] < count for kind, count in on.work.items()), "no work is left out"
        assert all(counts[kind] <= count for kind, count in on.work.items()), "work is added"
    else:
        assert counts == on.work, "the method declares that it leaves no work out"
    return counts


def counted_work_is_the_declared_work(on: Subject, plan: Plan) -> None:
    """What ``steps`` declares, summed over the steps, is what runs."""
    steps = work(plan, on.pipe, STEPS)
    with apply(on.pipe, plan, STEPS):
        counts = counted(on.pipe)
    expected: Counter[str] = Counter()
    halves = 2 if no_guided_batch(on.pipe, "") is None else 1
    for step in steps:
        for name, block in blocks_of(denoiser_of(on.pipe)):
            for kind, count in work_of(block).items():
                crossing = kind == "cross_attention"
                left = step.blocks.get(name, 1.0) * count * (step.cross_attention if crossing else 1)
                expected[kind] += left  # type: ignore[assignment]
                expected["rows"] += 0 if crossing else left * (halves if step.guidance else 1)  # type: ignore[assignment]
    assert {kind: counts[kind] for kind in expected} == pytest.approx(dict(expected))


def measured_grid_is_legal(on: Subject, method: MeasuresGrid) -> None:
    """A method that measures its grid measures legal values, and leaves the pipeline as it was."""
    found = measure_grid(Pipeline(on.pipe, setting_of(on.pipe, steps=STEPS), PROMPTS), method, samples=1)
    parameters = {parameter.name: parameter for parameter in method.parameters(on.pipe, STEPS)}
    grid = method.measured_grid(found.found, STEPS)
    assert grid, "no parameter has measured values"
    for name, values in grid.items():
        assert values, f"{name} has no values"
        assert all(method.legal(parameters[name], value) == value for value in values), name
    assert torch.equal(latents(on.pipe), on.baseline), "the baseline is not back after the measurement"


def no_state_leaks(on: Subject, plan: Plan) -> None:
    """Each call draws what it draws on its own, whatever ran before: other sizes, batches, numbers of steps and
    guidance, another pipeline on the same denoiser, a run that was aborted."""
    pipe, (other, drawn), alone = on.pipe, beside(on.pipe), {}
    for name, settings in BETWEEN.items():
        with apply(pipe, plan):
            alone[name] = latents(pipe, **settings)
    with apply(pipe, plan):
        alone_drawn = latents(other, **drawn)
    with apply(pipe, plan):
        usual = latents(pipe)
        for name, settings in BETWEEN.items():
            assert torch.equal(latents(pipe, **settings), alone[name]), name
        assert torch.equal(latents(other, **drawn), alone_drawn), "another pipeline on the denoiser"
        _abort(pipe, plan)
        assert torch.equal(latents(pipe, **BETWEEN["fewer steps"]), alone["fewer steps"]), "after an aborted run"
        assert torch.equal(latents(pipe), usual)


def _abort(pipe: Any, plan: Plan) -> None:
    """A run that stops half way: after four steps, or two where no more than three are left."""
    calls, last = iter(range(8)), 2 if any(METHODS.get(name).shortens for name in plan.methods) else 4

    def stop(*_: Any) -> None:
        if next(calls) == last:
            raise KeyboardInterrupt

    hook = denoiser_of(pipe).register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        latents(pipe, num_inference_steps=8)
    hook.remove()


def removal_in_every_order(on: Subject, plan: Plan, orders: Iterable[Sequence[str]]) -> None:
    """Whatever order methods are put on and taken off in, what is left draws what it draws alone, and nothing
    draws the baseline."""
    pipe, each = on.pipe, {name: Plan.of({name: given}) for name, given in plan.parameters.items()}
    remaining: dict[tuple[str, ...], torch.Tensor] = {(): on.baseline}
    for order in orders:
        for applied in (tuple(order), tuple(order)[::-1]):
            handles = {name: apply(pipe, each[name]) for name in applied}
            left = list(plan.methods)
            for name in order:
                handles[name].remove()
                left.remove(name)
                if applied == tuple(order) or not left:
                    image, key = latents(pipe), tuple(left)
                    assert torch.equal(image, remaining.setdefault(key, image)), f"{order}, left {left}"
    for key, image in remaining.items():
        with apply(pipe, Plan.of({name: plan.parameters[name] for name in key})):
            assert torch.equal(latents(pipe), image), "what is left is not what is left"


def nested_handles_are_one_plan(on: Subject, plan: Plan) -> None:
    """Methods put on one by one, in either order, draw what the plan of all draws."""
    with apply(on.pipe, plan):
        together = latents(on.pipe)
    for order in (plan.methods, plan.methods[::-1]):
        with ExitStack() as stack:
            for name in order:
                stack.enter_context(apply(on.pipe, Plan.of({name: plan.parameters[name]})))
            assert torch.equal(latents(on.pipe), together)


def twice_is_an_error(on: Subject, plan: Plan, again: Iterable[Plan]) -> None:
    """A method that is applied cannot be applied again, alone or with others, and stays as it is."""
    title = METHODS.get(plan.methods[0]).title
    with apply(on.pipe, plan):
        image, installed = latents(on.pipe), attributes(on.pipe)
        for other in again:
            with pytest.raises(InputError, match=f"{title} is already applied"):
                apply(on.pipe, other)
        assert attributes(on.pipe) == installed, "the refused plan left something"
        assert torch.equal(latents(on.pipe), image)


def a_failed_install_is_undone(on: Subject, name: str, plan: Plan) -> None:
    """Where the method's ``install`` fails at its end, nothing of the plan is left on the pipeline."""
    method = METHODS.get(name)
    install = type(method).install

    def fail(self: Any, *args: Any) -> None:
        install(self, *args)
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch, untouched(on.pipe):
        patch.setattr(type(method), "install", fail)
        with pytest.raises(MemoryError):
            apply(on.pipe, plan)


def unsupported_is_an_error(pipe: Any, plan: Plan, reason: str) -> None:
    """A pipeline that the method cannot take is refused with the reason, and nothing is changed."""
    title = METHODS.get(plan.methods[0]).title
    with untouched(pipe), pytest.raises(UnsupportedError) as refused:
        apply(pipe, plan)
    assert str(refused.value) == f"{title} cannot be used here: {reason}."
