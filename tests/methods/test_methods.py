"""What single methods promise beyond the contract: parameters, grids, declared work, and special cases."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import pytest
import torch
from diffusers.models.unets import unet_2d_blocks
from tests.support.marks import star

from hasten.errors import InputError, ParameterError, UnknownNameError
from hasten.methods import METHODS, apply, check_plan, work
from hasten.methods._patch import ATTRIBUTE
from hasten.plan import Plan
from hasten.testing.generating import FAMILIES, UNETS, blocks_of, counting, latents, shared


def grids(name: str, pipe: Any = None, steps: int | None = None) -> dict[str, tuple[float, ...]]:
    return {p.name: p.grid for p in METHODS.get(name).parameters(pipe, steps)}


def test_grids_are_the_original_ones() -> None:
    assert grids("deepcache") == {"cache_interval": (2, 3, 4, 5), "cache_branch_id": (3, 2, 1, 0)}
    assert grids("tgate") == {
        "gate_step": tuple(range(19, 4, -1)),
        "sp_interval": tuple(range(2, 10)),
        "fi_interval": (1, 2, 3, 4, 5),
        "warm_up": (3, 2, 1),
    }
    assert grids("tome")["ratio"] == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75)
    assert grids("tome")["max_downsample"] == (1, 2, 4)


def test_grids_keep_to_the_model_and_the_steps() -> None:
    assert grids("tgate", steps=8)["gate_step"] == (7, 6, 5)
    assert grids("deepcache", steps=3)["cache_interval"] == (2, 3)
    assert grids("tome", shared("sdxl"))["max_downsample"] == (2, 4)
    assert grids("tome", shared("sd"))["max_downsample"] == (1, 2, 4)


@pytest.mark.parametrize(("family", "steps"), star(FAMILIES, (None, 1, 2, 9, 10, 11, 50)))
def test_defaults_neutral_values_and_grids_are_legal(family: str, steps: int | None) -> None:
    for method in METHODS.all():
        for pipe in (None, *([shared(family)] if method.unsupported(shared(family)) is None else [])):
            given = method.parameters(pipe, steps)
            assert method.check({}, pipe, steps) == {p.name: p.default for p in given}
            assert method.check(method.neutral(pipe, steps) or {}, pipe, steps)
            for parameter in given:
                for value in parameter.grid:
                    method.check({parameter.name: value}, pipe, steps)


def test_plans_are_completed_under_canonical_names() -> None:
    assert str(check_plan(Plan.parse("DeepCache(cache_interval=4.0)"))) == (
        "deepcache(cache_branch_id=0,cache_interval=4)"
    )
    with pytest.raises(InputError, match="names T-GATE twice"):
        check_plan(Plan.of({"tgate": {}, "T-GATE": {}}))
    with pytest.raises(UnknownNameError, match="Did you mean 'tgate'"):
        check_plan(Plan.parse("tgates"))


def test_checking_needs_no_torch() -> None:
    program = (
        "import sys; from hasten.methods import check_plan; from hasten.plan import Plan;"
        "check_plan(Plan.parse('deepcache+tgate+tome'), steps=20); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("tome(ratio=0.9)", r"ToMe's ratio is 0.9: .* 0.0 to 0.75"),
        ("tome(ratio=0.6,sx=2,sy=1)", r"ToMe's ratio is 0.6: .* 0.0 to 0.5"),
        ("tome(max_downsample=3)", r"max_downsample is 3: .* 1, 2, 4, 8"),
        ("tgate(gate_step=21)", r"gate_step is 21: .* 1 to 20"),
        ("deepcache(cache_interval=0)", r"cache_interval is 0: .* 1 to 20"),
    ],
)
def test_messages_name_the_limits(plan: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_plan(Plan.parse(plan), steps=20)


def test_tome_takes_what_its_stride_allows() -> None:
    check_plan(Plan.parse("tome(ratio=0.9,sx=4,sy=4)"), shared("sd"))


@pytest.mark.parametrize("plan", [3, ["deepcache"], {"deepcache": 3}])
def test_what_is_no_plan(plan: Any) -> None:
    with pytest.raises(InputError, match="is not a plan"):
        apply(shared("sd"), plan)


def test_the_empty_plan_and_the_handle() -> None:
    pipe = shared("sd")
    with apply(pipe, "baseline") as handle:
        assert not hasattr(pipe.unet, ATTRIBUTE)
    assert not handle.plan
    first = apply(pipe, {"deepcache": {"cache_interval": 2}})
    assert repr(first) == "<deepcache(cache_branch_id=0,cache_interval=2) applied>"
    first.remove()
    with apply(pipe, "deepcache"):
        first.remove()  # a second time: not the other handle's
        assert hasattr(pipe.unet, ATTRIBUTE)
    assert not hasattr(pipe.unet, ATTRIBUTE)


@pytest.mark.parametrize("name", ["pyramid_attention", "faster_cache", "deepcache", "tgate"])
def test_what_never_rests_is_not_wrapped(name: str) -> None:
    pipe = shared("sd")
    with apply(pipe, {name: METHODS.get(name).neutral(pipe, 3)}):
        latents(pipe, num_inference_steps=3)
        assert wrapped(pipe) == {""}  # the root's has the clock


def test_attentions_are_wrapped_when_their_outputs_are_first_kept() -> None:
    pipe = shared("sd")
    with apply(pipe, "tgate(gate_step=2,sp_interval=1)"):
        assert wrapped(pipe) == {""}
        latents(pipe, num_inference_steps=3)
        assert wrapped(pipe) == {"", "attn2"}
    assert wrapped(pipe) == set()


def wrapped(pipe: Any) -> set[str]:
    """The last names of the denoiser's modules that have a forward of their own."""
    return {path.rpartition(".")[2] for path, module in pipe.unet.named_modules() if "forward" in vars(module)}


def test_an_error_inside_removes_the_plan() -> None:
    pipe = shared("sd")
    with pytest.raises(ZeroDivisionError), apply(pipe, "deepcache+tome"):
        _ = 1 / 0
    assert not hasattr(pipe.unet, ATTRIBUTE)


def test_a_forward_of_another_library_is_put_back() -> None:
    pipe = shared("sd")
    own = pipe.unet.mid_block.forward
    calls = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return own(*args, **kwargs)

    pipe.unet.mid_block.forward = forward
    handle = apply(pipe, "deepcache(cache_interval=2)")
    latents(pipe)
    assert len(calls) == 2
    handle.remove()
    assert pipe.unet.mid_block.forward is forward
    del pipe.unet.mid_block.forward


def test_a_library_that_wraps_later_stays_whole() -> None:
    pipe = shared("sd")
    plain = latents(pipe)
    handle = apply(pipe, "deepcache(cache_interval=2)")
    ours = pipe.unet.mid_block.forward
    pipe.unet.mid_block.forward = functools.partial(ours)
    handle.remove()
    assert torch.equal(latents(pipe), plain)
    del pipe.unet.mid_block.forward


@pytest.mark.parametrize("family", UNETS)
@pytest.mark.parametrize("branch", [0, 1, 2, 4, 8])
def test_deepcache_declares_its_work_at_each_branch(family: str, branch: int) -> None:
    pipe, plan = shared(family), f"deepcache(cache_interval=4,cache_branch_id={branch})"
    with apply(pipe, plan), counting(pipe.unet) as counts:
        latents(pipe)
    whole, partial = work(Plan.parse(plan), pipe, 4)[:2]
    layers = {
        name: sum(len(getattr(b, k, None) or ()) for k in ("resnets", "attentions", "downsamplers", "upsamplers"))
        for name, b in blocks_of(pipe.unet)
    }
    assert whole.blocks == {}
    assert counts["layers"] == pytest.approx(
        sum(count * (1 + 3 * partial.blocks.get(name, 1.0)) for name, count in layers.items())
    )


def test_deepcache_with_freeu(monkeypatch: pytest.MonkeyPatch) -> None:
    """FreeU scales an up block's input in place, which may be a stored tensor."""
    pipe, in_place = shared("sd"), unet_2d_blocks.apply_freeu

    def on_a_copy(level: int, hidden: torch.Tensor, *rest: Any, **given: Any) -> Any:
        return in_place(level, hidden.clone(), *rest, **given)

    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.4, b2=1.6)
    try:
        with apply(pipe, "deepcache(cache_interval=4,cache_branch_id=7)"):
            image = latents(pipe)
            monkeypatch.setattr(unet_2d_blocks, "apply_freeu", on_a_copy)
            assert torch.equal(latents(pipe), image)
    finally:
        pipe.disable_freeu()
        for block in pipe.unet.up_blocks:
            for name in ("s1", "s2", "b1", "b2"):
                vars(block).pop(name, None)


def test_tgate_takes_equal_seeds_for_guidance_at_the_first_step_only() -> None:
    """Without guidance, two prompts from one seed look like a guided batch until their first step."""
    pipe = shared("sd")

    def images(prompts: list[str]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(3) for _ in prompts]
        return latents(pipe, prompt=prompts, generator=generators, guidance_scale=1.0, num_inference_steps=5)

    with apply(pipe, "tgate(gate_step=1,sp_interval=1,fi_interval=1,warm_up=0)"):
        both = images(["a dog", "a cat"])
        assert torch.equal(both[:1], images(["a dog", "a bird"])[:1])
    assert not torch.equal(both[0], both[1])


def test_tgate_halves_the_batch_from_the_gate_on() -> None:
    pipe = shared("sdxl")
    rows: list[int] = []
    hook = pipe.unet.conv_in.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[0]))
    with apply(pipe, "tgate(gate_step=3)"):
        latents(pipe, prompt=["a dog", "a cat"], num_inference_steps=5)
        latents(pipe, guidance_scale=1.0, num_inference_steps=5)
    hook.remove()
    assert rows == [4, 4, 4, 2, 2] + [1] * 5


@pytest.mark.parametrize("family", UNETS)
def test_tome_declares_the_share_of_tokens(family: str) -> None:
    steps = work(Plan.parse("tome(ratio=0.5,max_downsample=8)"), shared(family), 3)
    assert [step.self_attention for step in steps] == [0.25] * 3
    assert [step.self_attention for step in work(Plan(), shared(family), 3)] == [1.0] * 3


def test_tome_on_a_transformer_has_one_grid() -> None:
    pipe = shared("pixart")
    plan, depths = check_plan(Plan.parse("tome"), pipe), METHODS.get("tome").parameters(pipe)[1]
    assert str(plan) == "tome(max_downsample=1,ratio=0.5,sx=2,sy=2)" and depths.allowed == depths.grid == (1,)
    with pytest.raises(ParameterError, match="max_downsample is 2: allowed is an integer, 1"):
        check_plan(Plan.parse("tome(max_downsample=2)"), pipe)
    with apply(pipe, plan), counting(pipe.transformer) as counts:
        latents(pipe, height=96, width=160)  # 6×10 patches
        latents(pipe)
    assert counts["tokens"] == 2 * 2 * 4 * (6 * 10 + 8 * 8) // 2
    assert work(plan, pipe, 2)[0].self_attention == 0.25


def test_tgate_halves_what_a_transformer_is_given() -> None:
    """The noise and the learnt variance of both halves are the unconditional half's."""
    pipe = shared("pixart")
    outputs: list[torch.Tensor] = []
    hook = pipe.transformer.register_forward_hook(lambda *call: outputs.append(call[2][0]))
    with apply(pipe, "tgate(gate_step=2)"), counting(pipe.transformer) as counts:
        latents(pipe, prompt=["a dog", "a cat"])
    hook.remove()
    assert counts["rows"] == 2 * (2 * 4 + 2 * 2)
    assert all(output.shape == (4, 8, 16, 16) for output in outputs)
    alike = [torch.equal(*output.chunk(2)) for output in outputs]
    assert alike == [False, False, True, True]
