"""What makes other pictures, or the same ones in other time, gives a study of its own; nothing else does."""

from __future__ import annotations

import copy
import functools
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PyramidAttentionBroadcastConfig,
    StableDiffusionPAGPipeline,
)
from diffusers.models import attention_processor
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from tests.support.marks import rarely
from tests.support.tiny_clip import tiny_clip
from torch.nn.utils import parametrize

from hasten import accelerate
from hasten.measure.bench import Bench
from hasten.measure.identity.code import Code
from hasten.measure.identity.pipelines import digest_of, look_at
from hasten.measure.identity.schedulers import facts_of
from hasten.measure.identity.values import Walk
from hasten.measure.identity.whole import OWN
from hasten.methods import METHODS
from hasten.schedulers import SCHEDULERS
from hasten.store import Store
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd, tiny_sd3, tiny_sdxl

SIZE, STEPS = 64, 4
TESTS = Path(__file__).parent.parent
Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def study(words: Path) -> Callable[..., str]:
    """The name of the study that a pipeline's trials go into."""

    def name(pipe: Any, **given: Any) -> str:
        how = {"steps": STEPS, "height": SIZE, "width": SIZE, "scorer": "nowhere/clip", "prompts": words}
        bench = Bench.of(pipe, **{**how, **given})
        with Store("memory", bench.setting, bench.identity) as store:
            return store.study_name(["deepcache"])

    return name


@pytest.fixture(scope="module")
def plain(study: Callable[..., str]) -> str:
    return study(tiny_sd())


def one_weight(pipe: Any) -> None:
    with torch.no_grad():
        pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight[3, 5] += 1e-3


def position_ids(pipe: Any) -> None:
    """A buffer that is not saved with the weights."""
    ids = pipe.text_encoder.embeddings.position_ids
    pipe.text_encoder.embeddings.position_ids = ids.flip(-1)


def added_word(pipe: Any) -> None:
    pipe.load_textual_inversion({"<hat>": torch.ones(1, 32)}, token="<hat>")


def configured(**changes: Any) -> Change:
    def change(pipe: Any) -> None:
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, **changes)

    return change


class Half(torch.nn.Module):
    """An adapter with a scale, as those of LoRA: it changes what a weight is when it is used."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = {"default": scale}

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (1 - self.scale["default"] / 2)


def adapted(scale: float) -> Change:
    def change(pipe: Any) -> None:
        layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_q
        parametrize.register_parametrization(layer, "weight", Half(scale), unsafe=True)

    return change


class Loud:
    """An attention processor of a user's own."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        return AttnProcessor2_0()(attn, hidden_states, *args, **more) * self.gain


def edited(source: str) -> Any:
    """A processor of a script, which is edited from run to run and keeps its names."""
    namespace: dict[str, Any] = {"__name__": "script", "Base": AttnProcessor2_0}
    body = f"class Own(Base):\n    def __call__(self, *a, **k):\n        return super().__call__(*a, **k) {source}"
    exec(body, namespace)
    return namespace["Own"]()


def circular(pipe: Any) -> None:
    """Pictures without seams."""
    for module in pipe.unet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.padding_mode = "circular"


def replaced_forward(pipe: Any) -> None:
    block = pipe.unet.mid_block
    block.forward = functools.partial(lambda inner, *a, **k: inner(*a, **k) * 1.5, block.forward)


def offloaded(pipe: Any) -> None:
    from accelerate import cpu_offload

    cpu_offload(pipe.vae, execution_device="cpu")


def group_offloaded(pipe: Any) -> None:
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        pipe.text_encoder,
        onload_device=torch.device("cpu"),
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
    )


def quantised(pipe: Any) -> None:
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    quantization.quantize_(pipe.text_encoder, quantization.Int8WeightOnlyConfig())


def compiled(**how: Any) -> Change:
    def change(pipe: Any) -> None:
        pipe.vae.decoder = torch.compile(pipe.vae.decoder, **how)

    return change


CHANGES: dict[str, Change] = {
    "other weights of the denoiser": lambda pipe: setattr(pipe, "unet", tiny_sd(1).unet),
    "one weight of the denoiser": one_weight,
    "another VAE": lambda pipe: setattr(pipe, "vae", tiny_sd(1).vae),
    "another text encoder": lambda pipe: setattr(pipe, "text_encoder", tiny_sd(1).text_encoder),
    "a buffer that is not saved": position_ids,
    "a learnt word": added_word,
    "a shorter text": lambda pipe: setattr(pipe.tokenizer, "model_max_length", 8),
    "v-prediction": configured(prediction_type="v_prediction"),
    "trailing steps": configured(timestep_spacing="trailing"),
    "trailing steps with zero SNR": configured(timestep_spacing="trailing", rescale_betas_zero_snr=True),
    "noise levels of the scheduler, set afterwards": lambda pipe: pipe.scheduler.alphas_cumprod.mul_(0.99),
    "FreeU": lambda pipe: pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4),
    "FreeU, stronger": lambda pipe: pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6),
    "a configuration of the pipeline": lambda pipe: pipe.register_to_config(requires_safety_checker=True),
    "an adapter at 1.0": adapted(1.0),
    "an adapter at 0.5": adapted(0.5),
    "an adapter at 0.0": adapted(0.0),
    "attention in slices": lambda pipe: pipe.enable_attention_slicing(1),
    "the VAE image by image": lambda pipe: pipe.vae.enable_slicing(),
    "the VAE in tiles": lambda pipe: pipe.vae.enable_tiling(),
    "the VAE in smaller tiles": lambda pipe: (
        pipe.vae.enable_tiling(),
        setattr(pipe.vae, "tile_latent_min_size", 4),
    ),
    "fused projections": lambda pipe: pipe.fuse_qkv_projections(vae=False),
    "another attention processor": lambda pipe: pipe.unet.set_attn_processor(AttnProcessor()),
    "a processor of one's own": lambda pipe: pipe.unet.set_attn_processor(Loud()),
    "a processor of one's own, louder": lambda pipe: pipe.unet.set_attn_processor(Loud(1.1)),
    "a processor of a script": lambda pipe: pipe.unet.set_attn_processor(edited("* 1.0")),
    "a processor of the script after it was edited": lambda pipe: pipe.unet.set_attn_processor(edited("* 1.1")),
    "one processor of many": lambda pipe: setattr(pipe.vae.decoder.mid_block.attentions[0], "processor", Loud(2)),
    "a hook": lambda pipe: pipe.unet.mid_block.register_forward_hook(lambda *given: given[-1] * 0.9),
    "another hook": lambda pipe: pipe.unet.mid_block.register_forward_hook(lambda *given: given[-1] * 0.8),
    "a forward of one's own": replaced_forward,
    "pictures without seams": circular,
    "dropout": lambda pipe: pipe.text_encoder.train(),
    "another memory format": lambda pipe: pipe.unet.to(memory_format=torch.channels_last),
    "the VAE in half precision": lambda pipe: pipe.vae.to(torch.bfloat16),
    "the denoiser in half precision": lambda pipe: pipe.unet.to(torch.bfloat16),
    "weights in 8 bits": lambda pipe: pipe.unet.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
    ),
    "quantised": quantised,
    "offloaded": offloaded,
    "offloaded in groups": group_offloaded,
    "compiled": compiled(),
    "compiled in another mode": compiled(mode="max-autotune"),
    "compiled by another compiler": compiled(backend="eager"),
    "compiled in its place": lambda pipe: pipe.vae.decoder.compile(),
    "skipped layers of the text encoder": lambda pipe: setattr(pipe.text_encoder.config, "num_hidden_layers", 1),
    "another factor of the VAE": lambda pipe: pipe.vae.register_to_config(scaling_factor=0.2),
    "a setting of the pipeline": lambda pipe: setattr(pipe, "vae_scale_factor", 4),
}
SEEN: dict[str, str] = {}


@pytest.mark.parametrize("name", [pytest.param(n, marks=rarely(at % 3 > 0)) for at, n in enumerate(CHANGES)])
def test_each_change_gives_a_study_of_its_own(name: str, plain: str, study: Callable[..., str]) -> None:
    pipe = tiny_sd()
    CHANGES[name](pipe)
    found = study(pipe)
    assert found != plain
    assert SEEN.setdefault(found, name) == name


def louder(*given: Any, **more: Any) -> torch.Tensor:
    return torch.nn.functional.softmax(*given, **more) * 2


PATCHES: dict[str, tuple[Any, str, Any]] = {
    "a method of a class": (AttnProcessor2_0, "__call__", Loud.__call__),
    "a function that all attentions call": (torch.nn.functional, "scaled_dot_product_attention", louder),
    "a helper in its module": (attention_processor, "deprecate", louder),
    "a switch of cuDNN": (torch.backends.cudnn, "benchmark", True),
}


@pytest.mark.parametrize("name", PATCHES)
def test_what_is_changed_for_the_whole_process_counts(
    name: str, plain: str, study: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*PATCHES[name])
    assert study(tiny_sd()) != plain
    monkeypatch.undo()
    assert study(tiny_sd()) == plain


@pytest.mark.parametrize(
    "switch",
    [
        torch.backends.cuda.enable_math_sdp,
        torch.use_deterministic_algorithms,
        lambda on: setattr(torch.backends.cuda.matmul, "allow_tf32", on),
    ],
)
def test_switches_of_torch_count(switch: Callable[[bool], object], study: Callable[..., str]) -> None:
    pipe, found = tiny_sd(), list[str]()
    for on in (True, False, True, False):
        switch(on)
        found.append(study(pipe))
    torch.backends.cuda.enable_math_sdp(True)
    assert found[:2] == found[2:] and found[0] != found[1]


def test_a_hook_on_all_modules_counts(plain: str, study: Callable[..., str]) -> None:
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *given: given[-1])
    assert study(tiny_sd()) != plain
    handle.remove()
    assert study(tiny_sd()) == plain


def test_the_surroundings_of_a_pipeline_count(
    plain: str, study: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tiny_sd()
    one, other = (tiny_clip(tmp_path / name) for name in ("one", "other"))
    assert study(pipe, scorer=str(one)) == study(pipe, scorer=str(other)) != plain  # the same files elsewhere
    weights = next(other.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    changed = {
        "seed": study(pipe, seed=1),
        "prompts": study(pipe, prompts="general"),
        "scorer": study(pipe, scorer=str(one)),
        "its weights": study(pipe, scorer=str(other)),
        "size": study(pipe, height=128),
        "guidance": study(pipe, guidance_scale=1.0),
        "images": study(pipe, batch_size=2),
    }
    monkeypatch.setenv("HASTEN_DINOV2", "some/dino")
    changed["DINOv2"] = study(pipe)
    assert len({plain, *changed.values()}) == len(changed) + 1


def test_the_arguments_of_each_call_count(plain: str, words: Path) -> None:
    bench = Bench.of(tiny_sd(), steps=STEPS, height=SIZE, width=SIZE, scorer="nowhere/clip", prompts=words)
    bench.pipeline.given = {"guidance_rescale": 0.7}
    with Store("memory", bench.setting, bench.identity) as store:
        assert store.study_name(["deepcache"]) != plain


def drawn(pipe: Any) -> None:
    binning = {"use_resolution_binning": False} if "PixArt" in type(pipe).__name__ else {}
    with torch.inference_mode():
        pipe("red cat", num_inference_steps=3, height=SIZE, width=SIZE, **binning)


def turned_round(pipe: Any) -> None:
    """Everything in another order."""
    for module in pipe.unet.modules():
        items = list(vars(module).items())
        vars(module).clear()
        vars(module).update(reversed(items))
    config = pipe.scheduler._internal_dict
    pipe.scheduler._internal_dict = type(config)(dict(reversed(config.items())))
    items = list(vars(pipe).items())
    vars(pipe).clear()
    vars(pipe).update(reversed(items))


def with_plans(pipe: Any) -> None:
    """Each method on, used, and off again."""
    for method in METHODS.all():
        if method.unsupported(pipe) is None and method.name not in ("compile", "cuda_graph", "quantize"):
            with accelerate(pipe, method.name, steps=STEPS), torch.inference_mode():
                pipe("red cat", num_inference_steps=STEPS, height=SIZE, width=SIZE)


def hooked_and_not(pipe: Any) -> None:
    for _ in range(3):
        pipe.unet.mid_block.register_forward_hook(lambda *given: given[-1]).remove()


def freeu_and_not(pipe: Any) -> None:
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    pipe.disable_freeu()


def another_compiled(pipe: Any) -> None:
    """The first compiled call of a process changes how all modules are made."""
    module = torch.nn.Linear(1, 1)
    module.compile(backend="eager")
    module(torch.ones(1, 1))


SAME: dict[str, Change] = {
    "another module is compiled": another_compiled,
    "built again": lambda pipe: None,
    "called before": drawn,
    "another bar of progress": lambda pipe: pipe.set_progress_bar_config(desc="mine", disable=False),
    "the steps of another call": lambda pipe: pipe.scheduler.set_timesteps(17),
    "everything in another order": turned_round,
    "the same weights at another place in memory": lambda pipe: setattr(pipe, "unet", copy.deepcopy(pipe.unet)),
    "the same processor again": lambda pipe: pipe.unet.set_attn_processor(AttnProcessor2_0()),
    "FreeU on and off": freeu_and_not,
    "hooks that are gone": hooked_and_not,
    "weights that want no gradient": lambda pipe: pipe.unet.requires_grad_(False),
    "every method on and off": with_plans,
}


@pytest.mark.parametrize("name", SAME)
def test_what_makes_no_other_picture_finds_its_study_again(
    name: str, plain: str, study: Callable[..., str]
) -> None:
    pipe = tiny_sd()
    SAME[name](pipe)
    assert study(pipe) == plain


@pytest.mark.full  # commands go on in test_cli.py and test_killed.py
def test_another_folder_and_another_process_find_the_study_again(
    plain: str, study: Callable[..., str], tmp_path: Path, words: Path
) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        tiny_sd().save_pretrained(folder)
    assert study(type(tiny_sd()).from_pretrained(tmp_path / "one")) == plain
    program = (
        "import sys; from diffusers import StableDiffusionPipeline as P; from hasten.measure.bench import Bench\n"
        "from hasten.store import Store\n"
        "bench = Bench.of(P.from_pretrained(sys.argv[1]), steps=4, height=64, width=64, scorer='nowhere/clip', "
        "prompts=sys.argv[2])\n"
        "print(Store('memory', bench.setting, bench.identity).study_name(['deepcache']))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "two", words],
        env={**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": str(torch.get_num_threads())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == plain


@pytest.mark.parametrize("make", [tiny_sdxl, tiny_sd3, tiny_pixart, tiny_flux])
def test_every_family_is_the_same_after_a_call_and_when_loaded_again(make: Any, tmp_path: Path) -> None:
    pipe = make()
    before = look_at(pipe)
    assert not before.unknown
    drawn(pipe)
    pipe.save_pretrained(tmp_path)
    for again in (pipe, type(pipe).from_pretrained(tmp_path)):
        after = look_at(again)
        assert (after.facts, after.scheduler) == (before.facts, before.scheduler)


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda scheduler: scheduler.name)
def test_a_scheduler_is_the_same_whatever_calls_it_has_served(scheduler: Any) -> None:
    base = FlowMatchEulerDiscreteScheduler(shift=3.0) if scheduler.flow_matching else tiny_sd().scheduler
    built = scheduler.build(base.config)
    before = dict(facts_of(built, Walk()))
    built.set_timesteps(9)
    latent = torch.randn(1, 4, 8, 8)
    for timestep in built.timesteps[:6]:
        given = built.scale_model_input(latent, timestep) if hasattr(built, "scale_model_input") else latent
        latent = built.step(given * 0.1, timestep, latent).prev_sample
    assert dict(facts_of(built, Walk())) == before


def test_a_shift_that_is_set_on_a_scheduler_counts() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    before = dict(facts_of(scheduler, Walk()))
    scheduler.set_shift(5.0)
    assert dict(facts_of(scheduler, Walk())) != before


def test_caches_of_diffusers_count_and_what_they_hold_does_not() -> None:
    pipe = tiny_flux()
    plain = digest_of(look_at(pipe).facts)
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: pipe.current_timestep
    )
    pipe.transformer.enable_cache(config)
    cached = digest_of(look_at(pipe).facts)
    drawn(pipe)
    assert digest_of(look_at(pipe).facts) == cached != plain
    pipe.transformer.disable_cache()
    assert digest_of(look_at(pipe).facts) == plain


def test_a_pipeline_of_another_class_is_another_one(study: Callable[..., str]) -> None:
    """Perturbed attention guidance is a pipeline of its own, and the layers that it perturbs are attributes."""
    one, other = (
        StableDiffusionPAGPipeline(
            **tiny_sd().components, requires_safety_checker=False, pag_applied_layers=layers
        )
        for layers in ("mid", "up")
    )
    assert len({study(tiny_sd()), study(one), study(other)}) == 3


def test_what_cannot_be_looked_into_makes_the_study_its_own(
    study: Callable[..., str], words: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = tiny_sd()
    with (tmp_path / "notes").open("w") as file:
        pipe.unet.conv_in.notes = [file]
        with caplog.at_level(logging.WARNING, "hasten"):
            assert study(pipe) != study(pipe)
        bench = Bench.of(pipe, steps=STEPS, prompts=words, scorer="nowhere/clip", cache_dir=tmp_path / "cache")
        assert OWN in bench.identity
    assert "hasten cannot look into unet.conv_in.notes[0] (_io.TextIOWrapper)" in caplog.text
    assert not (tmp_path / "cache").exists()


class Ring:
    """Refers to itself."""

    def __init__(self, value: object) -> None:
        self.value, self.ring = value, [self]


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a, self.b = a, b


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (lambda: Ring(1), lambda: Ring(1), lambda: Ring(2)),
        (lambda: Slots(1, 2), lambda: Slots(1, 2), lambda: Slots(2, 1)),
        (lambda: {"a": 1, "b": {2, 3}}, lambda: {"b": {3, 2}, "a": 1}, lambda: {"a": 1, "b": {2}}),
        (lambda: (1.0, "x"), lambda: [1.0, "x"], lambda: ("x", 1.0)),
        (lambda: torch.arange(9.0), lambda: torch.arange(9.0), lambda: torch.arange(9.0).flip(0)),
        (lambda: torch.ones(3, 4), lambda: torch.ones(3, 4), lambda: torch.ones(4, 3).T),
        (lambda: torch.ones(2), lambda: torch.ones(2), lambda: torch.ones(2).half()),
        (lambda: range(5), lambda: range(5), lambda: range(6)),
        (lambda: lambda x: x + 1, lambda: lambda x: x + 1, lambda: lambda x: x + 2),
        (lambda: functools.partial(max, 1), lambda: functools.partial(max, 1), lambda: functools.partial(max, 2)),
        (lambda: adapted(0.5), lambda: adapted(0.5), lambda: adapted(0.6)),
    ],
)
def test_values_of_any_kind_are_told_apart_by_what_they_hold(one: Any, same: Any, other: Any) -> None:
    text = Walk().text(one(), "value")
    assert Walk().text(same(), "value") == text
    assert Walk().text(other(), "value") != text


def test_a_class_is_told_by_its_code() -> None:
    one, same, other = (type(edited(source)) for source in ("* 1.0", "* 1.0", "* 1.5"))
    assert Code().of_class(one) == Code().of_class(same) != Code().of_class(other)


def test_looking_at_the_settings_of_a_compiler_warns_of_none_that_is_outdated(recwarn: Any) -> None:
    pipe = tiny_sd()
    pipe.vae.decoder.compile()
    recwarn.clear()  # importing the compiler may warn
    look_at(pipe)
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize("shape", [(300, 400), (3, 5), (70_001,)])
def test_every_byte_of_a_tensor_counts(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    tensor = torch.randn(shape)
    text = Walk().text(tensor, "weight")
    for place in (0, tensor.numel() // 2, tensor.numel() - 1):
        changed = tensor.clone()
        changed.view(-1)[place] += 1e-3
        assert Walk().text(changed, "weight") != text
    assert Walk().text(tensor.clone(), "weight") == text
