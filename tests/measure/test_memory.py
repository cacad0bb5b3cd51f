"""Sizes that no memory holds are refused before anything is drawn."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest
import torch

from hasten.errors import InputError
from hasten.measure._memory import GIB, least_bytes, usable_bytes
from hasten.measure.bench import Bench
from hasten.testing.pipelines import tiny_sd, tiny_sd3


@pytest.mark.parametrize(
    "size", [{"batch_size": 100_000_000}, {"height": 400_000, "width": 400_000}, {"batch_size": 10**12}]
)
@pytest.mark.parametrize("make", [tiny_sd, tiny_sd3])
def test_what_fits_no_memory_is_refused_at_once(make: object, size: dict[str, int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"at once need at least [\d.]+ GiB of memory .* Give a smaller"):
        Bench.of(make(), steps=2, **size)  # type: ignore[operator]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIB


def test_the_least_is_less_than_what_decoding_takes() -> None:
    """Of a real decoding: the tensors that are alive at once are counted as they are made."""
    pipe = tiny_sd()
    setting = replace(Bench.of(pipe, steps=2).setting, height=256, width=256, batch_size=4)
    scale = pipe.vae_scale_factor
    latents = torch.randn(4, pipe.vae.config.latent_channels, 256 // scale, 256 // scale)
    with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
        drawn = pipe.vae.decode(latents).sample
    held = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert drawn.shape == (4, 3, 256, 256)
    assert drawn.numel() * 4 < least_bytes(pipe, setting) <= peak


def test_slices_and_tiles_need_less() -> None:
    pipe = tiny_sd()
    setting = replace(Bench.of(pipe, steps=2).setting, batch_size=8)
    whole = least_bytes(pipe, setting)
    pipe.vae.enable_slicing()
    sliced = least_bytes(pipe, setting)
    pipe.vae.enable_tiling()
    assert whole > sliced > least_bytes(pipe, setting) > 0


def test_the_memory_of_this_machine_is_known() -> None:
    found = usable_bytes("cpu")
    assert found is not None and found > 0 and usable_bytes("mps") is None


@pytest.mark.parametrize("sample", ["x", [1], None, 1.5, [8, "x"], {"a": 1}])
def test_a_size_that_is_none_is_told(sample: object) -> None:
    pipe = tiny_sd()
    pipe.unet.register_to_config(sample_size=sample)
    with pytest.raises(InputError, match="The sample_size of the UNet2DConditionModel is"):
        Bench.of(pipe, steps=2)
