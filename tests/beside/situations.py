"""What else may touch a denoiser while a plan is on: each situation, and the families that it exists for."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_module
from diffusers import PyramidAttentionBroadcastConfig
from diffusers.models.attention_processor import AttnProcessor

from hasten.denoisers import denoiser_of
from hasten.errors import HastenError
from hasten.testing.generating import FAMILIES, latents

CPU = torch.device("cpu")
Change = Callable[[Any], Any]
"""Changes a pipeline, and returns another one to draw with, or None."""


@dataclass(frozen=True)
class Situation:
    """Something that happens to a pipeline between two of its calls, or the way in which it is called.

    ``before`` happens before the plan is put on, and ``change`` while it is on. ``calls`` draws with the pipeline
    instead of a plain call. ``needs`` is a package that the situation takes.
    """

    title: str
    families: tuple[str, ...] = FAMILIES
    change: Change = lambda pipe: None
    calls: Callable[[Any], torch.Tensor] = latents
    before: Change = lambda pipe: None
    needs: str = ""

    @property
    def is_possible(self) -> bool:
        return not self.needs or find_spec(self.needs) is not None


def load_state_dict(pipe: Any) -> None:
    denoiser = denoiser_of(pipe)
    denoiser.load_state_dict({name: 1.01 * tensor for name, tensor in denoiser.state_dict().items()})


def add_to_data(pipe: Any) -> None:
    """As peft fuses a LoRA: torch counts no version of it."""
    for parameter in denoiser_of(pipe).parameters():
        parameter.data += 0.01 * parameter.data.abs()


def fuse_projections(pipe: Any) -> None:
    (pipe if hasattr(pipe, "fuse_qkv_projections") else denoiser_of(pipe)).fuse_qkv_projections()


def save_and_load(pipe: Any) -> None:
    """The denoiser is saved, and what was saved is loaded into it again."""
    denoiser = denoiser_of(pipe)
    with tempfile.TemporaryDirectory() as folder:
        denoiser.save_pretrained(folder)
        denoiser.load_state_dict(type(denoiser).from_pretrained(folder, low_cpu_mem_usage=False).state_dict())


def from_pipe(pipe: Any) -> Any:
    other = type(pipe).from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    return other


def to_bfloat16(pipe: Any) -> None:
    pipe.to(torch.bfloat16)


def cast_by_layers(pipe: Any) -> None:
    denoiser_of(pipe).enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)


def offload_groups(pipe: Any) -> None:
    denoiser_of(pipe).enable_group_offload(onload_device=CPU, offload_device=CPU, offload_type="leaf_level")


def offload_models_and_stop(pipe: Any) -> None:
    pipe.enable_model_cpu_offload(device="cpu")
    latents(pipe, num_inference_steps=1)
    pipe.remove_all_hooks()


def offload_layers_and_stop(pipe: Any) -> None:
    cpu_offload(denoiser_of(pipe), execution_device=CPU)
    try:
        latents(pipe, num_inference_steps=1)
    except HastenError:
        remove_hook_from_module(denoiser_of(pipe), recurse=True)
        raise
    remove_hook_from_module(denoiser_of(pipe), recurse=True)


def cache_and_stop(pipe: Any) -> None:
    """``disable_cache`` takes off what diffusers put on."""
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        current_timestep_callback=lambda: 0,
        spatial_attention_timestep_skip_range=(0, 1),
    )
    denoiser_of(pipe).enable_cache(config)
    denoiser_of(pipe).disable_cache()


def free_u(pipe: Any) -> None:
    pipe.enable_freeu(0.9, 0.2, 1.4, 1.6)


def other_processors(pipe: Any) -> None:
    denoiser_of(pipe).set_attn_processor(AttnProcessor())


def add_lora(pipe: Any) -> None:
    """As ``load_lora_weights`` does it, with weights of a seed."""
    from peft import LoraConfig

    kinds = {
        name.rpartition(".")[2] for name, module in denoiser_of(pipe).named_modules() if hasattr(module, "bias")
    }
    targets = sorted(kinds & {"to_q", "to_v", "proj_out"})
    torch.manual_seed(4)
    denoiser_of(pipe).add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=targets), "a"
    )


def scale_lora(pipe: Any) -> None:
    add_lora(pipe)
    latents(pipe, num_inference_steps=1)
    denoiser_of(pipe).set_adapters(["a"], [0.5])


def fuse_lora(pipe: Any) -> None:
    add_lora(pipe)
    latents(pipe, num_inference_steps=1)
    denoiser_of(pipe).fuse_lora()


def unfuse_and_unload_lora(pipe: Any) -> None:
    fuse_lora(pipe)
    latents(pipe, num_inference_steps=1)
    denoiser_of(pipe).unfuse_lora()
    denoiser_of(pipe).unload_lora()


def with_gradient(pipe: Any) -> torch.Tensor:
    """As guidance by a loss does it at each step: the denoiser is called once more, for the gradient of the
    latents."""
    denoiser, calls = denoiser_of(pipe), list[Any]()
    hook = denoiser.register_forward_pre_hook(lambda _, args, given: calls.append((args, given)), with_kwargs=True)
    try:
        drawn = latents(pipe)
    finally:
        hook.remove()
    for args, given in calls:
        tensors = [x.detach().clone() if torch.is_tensor(x) else x for x in args]
        named = {n: x.detach().clone() if torch.is_tensor(x) else x for n, x in given.items()}
        sample = tensors[0] if tensors else named["hidden_states"]
        with torch.enable_grad():
            denoiser(*[sample.requires_grad_(), *tensors[1:]] if tensors else (), **named)[0].sum().backward()
    denoiser.zero_grad(set_to_none=True)
    return drawn


def a_copy(pipe: Any) -> torch.Tensor:
    drawn = latents(pipe)
    copy.deepcopy(denoiser_of(pipe))
    return drawn
