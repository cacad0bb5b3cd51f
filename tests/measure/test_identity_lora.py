"""LoRA as diffusers has it, by way of peft: each state is a study of its own, and unloading leaves no trace."""

from __future__ import annotations

import pytest
import torch

from hasten.measure.identity.pipelines import digest_of, look_at
from hasten.testing.pipelines import tiny_sd

peft = pytest.importorskip("peft", reason="the extra dev is not installed")


def test_scales_fusing_and_switching_off_count_and_unloading_leaves_nothing() -> None:
    pipe = tiny_sd()

    def digest() -> str:
        looked = look_at(pipe)
        assert not looked.unknown
        return digest_of(looked.facts)

    torch.manual_seed(1)
    found = {"none": digest()}
    config = peft.LoraConfig(r=4, lora_alpha=4, init_lora_weights=False, target_modules=["to_q", "to_v"])
    pipe.unet.add_adapter(config, adapter_name="mine")
    for scale in (1.0, 0.5, 0.0):
        pipe.set_adapters("mine", scale)
        found[f"scale {scale}"] = digest()
    pipe.set_adapters("mine", 1.0)
    assert digest() == found["scale 1.0"]
    pipe.disable_lora()
    found["off"] = digest()
    pipe.enable_lora()
    pipe("red cat", num_inference_steps=2, height=64, width=64)
    assert digest() == found["scale 1.0"]
    pipe.unload_lora_weights()
    assert digest() == found["none"]
    pipe.unet.add_adapter(config, adapter_name="mine")
    for scale in (1.0, 0.5):
        pipe.fuse_lora(lora_scale=scale)
        found[f"fused {scale}"] = digest()
        pipe.unfuse_lora()
    assert len(set(found.values())) == len(found)
