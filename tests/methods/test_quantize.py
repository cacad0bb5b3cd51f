"""Quantised weights: the contract on every family, what is changed and what is not, and what requests say.

What runs needs torchao (``pip install 'hasten[quantize]'``), and is skipped without it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from tests.contracts.expected import EXPECTED
from tests.methods.test_cheaper import during, tensors
from tests.methods.test_compile import small
from tests.support.examples import ENVIRONMENT, answer_of, model_of, setting_of
from torch._dynamo.utils import counters

from hasten.denoisers import denoiser_of
from hasten.errors import InputError, ParameterError, UnsupportedError
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.methods import METHODS, apply, check_plan
from hasten.methods._extra import missing
from hasten.methods.quantize import SCHEMES, _linears
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.script.write import render_script
from hasten.testing.generating import FAMILIES, attributes, counting, fresh, latents, shared

BESIDE = {"sd": "deepcache(cache_interval=2)+tome", "pixart": "tgate(gate_step=2)", "flux": "taylorseer"}
with_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")


@with_torchao
@pytest.mark.parametrize(("family", "scheme"), [*((f, "int8_weight_only") for f in FAMILIES), *(
    ("sd", scheme) for scheme in SCHEMES if scheme != "int8_weight_only"
)])  # fmt: skip
def test_weights_are_quantised_the_image_repeats_and_the_very_same_are_back(family: str, scheme: str) -> None:
    pipe = shared(family)
    with counting(denoiser_of(pipe)) as uncut:
        baseline = latents(pipe)
    before, lie = attributes(pipe), tensors(pipe)
    inside, outside = set(_linears(denoiser_of(pipe))), _others(denoiser_of(pipe))
    with apply(pipe, f"quantize(scheme={scheme})", 4):
        with counting(denoiser_of(pipe)) as counts, during(denoiser_of(pipe)) as weights:
            first = latents(pipe)
        assert tensors(pipe) == lie, "outside of a call it has its own weights"
        plain = {id(w) for w in weights[-1] if type(w) is torch.Tensor}
        assert len(weights[-1]) - len(plain) == len(inside) and len(plain) == len(outside)
        assert torch.equal(latents(pipe), first)
        latents(pipe, num_inference_steps=2, prompt=["a cat", "a dog"])
        assert torch.equal(latents(pipe), first), "something leaked"
        with pytest.raises(InputError, match="Quantise is already applied"):
            apply(pipe, "quantize")
    assert counts == uncut
    assert 0 < (first - baseline).norm() <= EXPECTED["quantize"]["tolerance"] * baseline.norm()
    assert tensors(pipe) == lie and attributes(pipe) == before, "something is left"
    assert torch.equal(latents(pipe), baseline)


def _others(denoiser: Any) -> list[Any]:
    """The weights that are not quantised."""
    inside = {id(linear.weight) for linear in _linears(denoiser)}
    return [p for p in denoiser.parameters() if id(p) not in inside]


@with_torchao
@pytest.mark.parametrize("family", BESIDE)
def test_it_goes_with_others_and_comes_off_in_any_order(family: str) -> None:
    pipe, other = shared(family), BESIDE[family]
    before, baseline = attributes(pipe), latents(pipe)
    with apply(pipe, f"quantize+{other}", 4):
        together = latents(pipe)
    for outer, inner in (("quantize", other), (other, "quantize")):
        left, gone = apply(pipe, outer), apply(pipe, inner)
        assert torch.equal(latents(pipe), together)
        gone.remove()
        alone = latents(pipe)
        left.remove()
        with apply(pipe, outer):
            assert torch.equal(latents(pipe), alone)
    assert attributes(pipe) == before and torch.equal(latents(pipe), baseline)


@with_torchao
def test_compiled_it_draws_the_same_and_no_graph_breaks() -> None:
    pipe = small()
    before, baseline = attributes(pipe), latents(pipe)
    counters.clear()
    with apply(pipe, "quantize", 4):
        plain = latents(pipe)
    with apply(pipe, "compile+quantize", 4):
        first = latents(pipe)
        assert torch.equal(latents(pipe), first)
    assert counters["stats"]["unique_graphs"] and not counters["graph_break"]
    assert (first - plain).norm() <= EXPECTED["compile"]["tolerance"] * plain.norm()
    assert attributes(pipe) == before and torch.equal(latents(pipe), baseline)


@with_torchao
def test_a_failed_install_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchao import quantization

    pipe = shared("sd")
    before, lie, whole = attributes(pipe), tensors(pipe), quantization.quantize_

    def half(module: Any, *args: Any, **kwargs: Any) -> None:
        whole(module, *args, **kwargs)
        raise AssertionError("no such kernel")

    monkeypatch.setattr(quantization, "quantize_", half)
    with pytest.raises(UnsupportedError, match="Quantise int8_dynamic cannot be used here: no such kernel"):
        apply(pipe, "quantize(scheme=int8_dynamic)")
    assert attributes(pipe) == before and tensors(pipe) == lie


@with_torchao
def test_a_quantised_pipeline_and_half_precision_are_refused() -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    with pytest.raises(InputError, match="Half precision and Quantise cannot be used together"):
        apply(shared("sd"), "half_precision+quantize")
    pipe = fresh("pixart").to(torch.bfloat16)
    with apply(pipe, "quantize"):
        assert torch.isfinite(latents(pipe, num_inference_steps=1)).all(), "16 bits can be quantised"
    quantize_(pipe.transformer, Int8WeightOnlyConfig())
    with pytest.raises(UnsupportedError, match="weights of the PixArtTransformer2DModel are Int8Tensor already"):
        apply(pipe, "quantize")


@pytest.mark.skipif(find_spec("torchao") is not None, reason="torchao is installed")
def test_without_torchao_it_says_how_to_get_it() -> None:
    with pytest.raises(UnsupportedError, match=r"torchao is not installed: pip install 'hasten\[quantize\]'"):
        apply(shared("sd"), "quantize")


def test_a_missing_package_is_named_with_its_extra() -> None:
    assert missing(("torch>=2", "no-such-package>=1"), "x") == (
        "the package no-such-package is not installed: pip install 'hasten[x]'"
    )
    assert missing(("torch>=2", "pillow-that-is-not[all]==3"), "x") and missing((), "x") is None


def test_its_line_is_kept_to() -> None:
    for plan in EXPECTED["quantize"]["illegal"]:
        with pytest.raises(ParameterError, match="Quantise"):
            check_plan(Plan.parse(plan), steps=4)
    assert check_plan(Plan.parse(EXPECTED["quantize"]["effective"]))
    tried = [p.parameters["quantize"]["scheme"] for p in Space(["quantize"], shared("sd"), 4)]
    assert tried == list(SCHEMES) and METHODS.get("quantize").neutral() is None


def test_scripts_require_torchao() -> None:
    plan, model = check_plan(Plan.parse("quantize")), model_of("emoji-sd")
    source = render_script(answer_of(plan), setting_of(model), model, command="c", environment=ENVIRONMENT)
    assert f'#     "{METHODS.get("quantize").packages[0]}",\n' in source


@pytest.mark.parametrize(
    ("words", "scheme"),
    [
        ("Make SD1.5 faster with quantization", None),
        ("Make SD1.5 faster with int8", "int8_weight_only"),
        ("Make FLUX.1-dev 1.2x faster with FP8", "float8_weight_only"),
        ("SD1.5 with W8A8", "int8_dynamic"),
        ("用量化加速SD1.5流水线，scheme=int8_dynamic", "int8_dynamic"),
    ],
)
def test_requests_name_it(words: str, scheme: str | None) -> None:
    task = parse(words)
    assert task.methods == ("quantize",)
    assert task.parameters == ({"quantize": {"scheme": scheme}} if scheme else {})
    for language in ("en", "zh"):
        assert parse(render(task, language)).parameters == task.parameters
