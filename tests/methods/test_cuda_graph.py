"""CUDA graphs: refused where there is no GPU; on one the same images, bit for bit, alone and beside others."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from hasten.errors import UnsupportedError
from hasten.language.parse import parse
from hasten.methods import METHODS, apply, clash
from hasten.methods._graph_tape import Tape, _Leaves
from hasten.methods.cuda_graph import MadeOf, recorded
from hasten.testing.generating import FAMILIES, UNETS, attributes, beside, fresh, latents, shared

DEEPCACHE = "deepcache(cache_branch_id=0,cache_interval=2)"
TAYLORSEER = "taylorseer(cache_interval=2,disable_cache_before_step=2)"
CUTOFF = "guidance_cutoff(cutoff_step=2)"
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU is needed")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_processor_has_no_graphs(family: str) -> None:
    pipe = shared(family)
    before = attributes(pipe)
    told = "CUDA graph cannot be used here: it needs a GPU with CUDA, and the pipeline is on the cpu"
    with pytest.raises(UnsupportedError, match=told):
        apply(pipe, "cuda_graph")
    assert attributes(pipe) == before


@pytest.mark.parametrize("other", ["tgate", "tome", "schedule", "half_precision"])
def test_what_is_done_anew_each_time_is_refused_beside_it(other: str) -> None:
    assert "the other would replay as it was" in clash([METHODS.get("cuda_graph"), METHODS.get(other)])


@pytest.mark.parametrize("words", ["Make SD1.5 faster with CUDA graphs", "用CUDA图加速SD1.5流水线"])
def test_requests_name_it(words: str) -> None:
    assert parse(words).methods == ("cuda_graph",)


def test_inputs_are_alike_where_only_their_numbers_differ() -> None:
    def signature(sample: torch.Tensor, **given: Any) -> object:
        return _Leaves.of((sample, torch.tensor(7.0)), given).signature

    text = {"encoder_hidden_states": torch.ones(2, 3), "added": {"ids": torch.ones(1)}, "return_dict": False}
    known = signature(torch.zeros(2, 4), **text)
    assert signature(torch.ones(2, 4), **text) == known
    assert hash(known) == hash(signature(torch.ones(2, 4), **text))
    for other in (
        signature(torch.zeros(1, 4), **text),
        signature(torch.zeros(2, 4).half(), **text),
        signature(torch.zeros(2, 4), **{**text, "return_dict": True}),
        signature(torch.zeros(2, 4), **{**text, "added": {"id": torch.ones(1)}}),
    ):
        assert other != known


def test_what_is_recorded_holds_while_weights_and_attention_stay() -> None:
    unet = fresh("sd").unet
    known = MadeOf(unet)
    with torch.no_grad():
        unet.conv_in.weight.mul_(2)  # a graph reads them where they are
    assert known.is_of(unet)
    unet.conv_in.weight.data = unet.conv_in.weight.data.clone()
    assert not known.is_of(unet)
    known = MadeOf(unet)
    unet.set_attn_processor(AttnProcessor())
    assert not known.is_of(unet) and not known.holds()


class _Adapter(torch.nn.Module):
    """A layer as those of peft are, whose scales are plain numbers in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.scaling, self.merged_adapters, self._disable_adapters = {"style": 1.0}, list[str](), False


def _adapted(unet: Any) -> Any:
    unet.conv_in.lora = _Adapter()
    unet.mid_block.attentions[0].transformer_blocks[0].attn2.processor.scale = [1.0, 0.5]
    return unet.conv_in.lora


BAKED: dict[str, Callable[[Any, Any], object]] = {
    "the scale of a LoRA": lambda unet, layer: layer.scaling.update(style=0.5),
    "disable_lora": lambda unet, layer: setattr(layer, "_disable_adapters", True),
    "fuse_lora": lambda unet, layer: layer.merged_adapters.append("style"),
    "the scale of an IP-Adapter": lambda unet, layer: (
        unet.mid_block.attentions[0].transformer_blocks[0].attn2.processor.scale.__setitem__(0, 0.0)
    ),
    "FreeU": lambda unet, layer: unet.enable_freeu(0.9, 0.2, 1.4, 1.6),
    "a backend of attention": lambda unet, layer: setattr(
        unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor, "_attention_backend", "flash"
    ),
}


@pytest.mark.parametrize("change", BAKED)
def test_python_values_that_a_graph_has_baked_in_are_noticed(change: str) -> None:
    unet = fresh("sd").unet
    layer = _adapted(unet)
    known = MadeOf(unet)
    assert known.is_of(unet) and known.holds()
    BAKED[change](unet, layer)
    assert not known.is_of(unet) and not known.holds()
    assert MadeOf(unet).is_of(unet)


def test_modules_that_are_put_in_and_switches_of_torch_are_noticed() -> None:
    unet = fresh("sd").unet
    known = MadeOf(unet)
    unet.mid_block.resnets[0].dropout = torch.nn.Identity()
    assert not known.is_of(unet)
    known = MadeOf(unet)
    with torch.backends.cudnn.flags(deterministic=not torch.backends.cudnn.deterministic):
        assert not known.is_of(unet)
    assert known.is_of(unet)


def test_what_is_recorded_does_not_keep_the_denoiser_alive() -> None:
    unet = fresh("sd").unet
    known, alive = MadeOf(unet), weakref.ref(unet)
    del unet
    gc.collect()
    assert alive() is None and known.holds()


class _Patched:
    """Stands for the patches of a denoiser on which a plan is."""

    def __init__(self, denoiser: Any) -> None:
        self.denoiser, self.plan, self.methods = denoiser, "cuda_graph", ()


def test_another_scale_is_recorded_anew_between_runs_and_within_one() -> None:
    unet = fresh("sd").unet
    layer = _adapted(unet)
    patches = _Patched(unet)
    first = recorded(patches, 1)
    assert recorded(patches, 1) is first
    layer.scaling["style"] = 0.5
    second = recorded(patches, 1)
    assert second.tape is not first.tape and recorded(patches, 1) is second
    layer.scaling["style"] = 0.0
    assert not second.made_of.holds(), "as a callback sets it"


class _Listed(Tape):
    """A tape whose graphs are the functions themselves."""

    def __init__(self, by_call: bool) -> None:
        super().__init__(1, by_call)
        self.made: list[Any] = []

    def _record(self, call_next: Callable[..., Any], given: _Leaves) -> Any:
        self.made.append(call_next)
        return type("Graph", (), {"replay": staticmethod(lambda leaves: call_next(*leaves))})


def run(tape: Tape, *calls: Any) -> list[Any]:
    """What the calls of one run give, each a function of no arguments that gives the name."""
    tape.begin()
    return [
        tape.call(number, lambda _, name=name: name, (shape,), {}) for number, (name, shape) in enumerate(calls)
    ]


def test_one_graph_serves_all_calls_of_a_signature() -> None:
    tape = _Listed(by_call=False)
    assert run(tape, ("a", 1), ("b", 1), ("c", 2), ("d", 1)) == ["a", "a", "c", "a"]
    assert run(tape, ("e", 2), ("f", 3)) == ["c", "f"]
    assert len(tape.made) == 3


def test_where_calls_depend_on_each_other_a_run_is_replayed_in_its_order() -> None:
    tape = _Listed(by_call=True)
    assert run(tape, ("a", 1), ("b", 1), ("c", 2)) == ["a", "b", "c"]
    assert run(tape, ("d", 1), ("e", 1), ("f", 2)) == ["a", "b", "c"]
    assert run(tape, ("d", 1), ("e", 1)) == ["a", "b"], "one that was stopped"
    assert run(tape, ("d", 1), ("e", 1), ("f", 2), ("g", 2), ("h", 2)) == ["a", "b", "c", "g", "h"]
    assert run(tape, ("i", 1), ("j", 2)) == ["i", "j"], "recorded anew, as the longer run was not known"
    assert run(tape, ("k", 1), ("l", 2)) == ["i", "j"]
    assert run(tape, ("m", 1), ("n", 1)) == ["i", "n"], "of another shape: not what was recorded"


@on_a_gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_image_bit_for_bit(family: str) -> None:
    pipe = fresh(family).to("cuda")
    other, given = beside(pipe)
    elsewhere = latents(other, **given)
    baseline, before = latents(pipe), attributes(pipe)
    with apply(pipe, "cuda_graph"):
        assert torch.equal(latents(pipe), baseline)
        assert torch.equal(latents(pipe), baseline)
        assert torch.equal(latents(other, **given), elsewhere)
        assert torch.isfinite(latents(pipe, prompt=["a dog", "a cat"])).all()
        assert torch.equal(latents(pipe), baseline)
    assert attributes(pipe) == before
    assert torch.equal(latents(pipe), baseline)
    with apply(pipe, "cuda_graph"):
        assert torch.equal(latents(pipe, seed=3), latents(pipe, seed=3))
        assert torch.equal(latents(pipe), baseline)


@on_a_gpu
@pytest.mark.parametrize("plan", [DEEPCACHE, TAYLORSEER, CUTOFF, f"{DEEPCACHE}+{CUTOFF}"])
@pytest.mark.parametrize("family", UNETS)
def test_beside_what_skips_steps_it_draws_what_that_draws(family: str, plan: str) -> None:
    pipe = fresh(family).to("cuda")
    with apply(pipe, plan, 4):
        plain, longer, pair = (
            latents(pipe),
            latents(pipe, num_inference_steps=6),
            latents(pipe, guidance_scale=1.0),
        )
    for _ in range(2):
        with apply(pipe, f"cuda_graph+{plan}", 4):
            for _ in range(2):
                assert torch.equal(latents(pipe), plain)
            for _ in range(3):
                assert torch.equal(latents(pipe, num_inference_steps=6), longer)
            for _ in range(3):
                assert torch.equal(latents(pipe, guidance_scale=1.0), pair)
            for _ in range(3):
                assert torch.equal(latents(pipe), plain)


@on_a_gpu
def test_new_weights_are_not_drawn_with_old_ones() -> None:
    pipe = fresh("sd").to("cuda")
    with apply(pipe, "cuda_graph"):
        before = latents(pipe)
        pipe.unet.to(torch.float64)
        pipe.unet.to(torch.float32)
        assert torch.equal(latents(pipe), before)
        with torch.no_grad():
            pipe.unet.conv_in.weight.mul_(1.5)
        assert not torch.equal(latents(pipe), before)


@on_a_gpu
def test_a_scale_that_is_baked_in_is_drawn_as_it_is_now() -> None:
    """FreeU's factors are Python numbers; a callback that sets them within a run is noticed as well."""
    pipe = fresh("sd").to("cuda")
    plain = latents(pipe)
    pipe.enable_freeu(0.9, 0.2, 1.4, 1.6)
    freed = latents(pipe)
    pipe.disable_freeu()

    def begin(pipe: Any, number: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        if number == 1:
            pipe.enable_freeu(0.9, 0.2, 1.4, 1.6)
        return given

    late = latents(pipe, callback_on_step_end=begin)
    pipe.disable_freeu()
    with apply(pipe, "cuda_graph"):
        assert torch.equal(latents(pipe), plain)
        pipe.enable_freeu(0.9, 0.2, 1.4, 1.6)
        assert torch.equal(latents(pipe), freed)
        pipe.disable_freeu()
        assert torch.equal(latents(pipe), plain)
        assert torch.equal(latents(pipe, callback_on_step_end=begin), late)
