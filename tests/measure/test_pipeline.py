"""The same images for the same prompts and seeds, however they are batched."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, StableDiffusionPipeline
from tests.support.marks import star

from hasten.denoisers import denoiser_of
from hasten.errors import InputError, MeasurementError
from hasten.measure._cut_prompts import _tell
from hasten.measure.identity.modules import weights_digest
from hasten.measure.pipeline import Pipeline, image_fault, image_seed, quiet
from hasten.measure.prompts import PromptSet, load
from hasten.measure.setting import setting_of
from hasten.models import usual_argument
from hasten.plan import Plan
from hasten.schedulers import find_scheduler
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd, tiny_sd3, tiny_sdxl

BASELINE = Plan()
LATENTS = {tiny_sd3: (2, 16, 8, 8), tiny_flux: (2, 16, 64)}
"""FLUX's are packed: a row of 64 numbers for four latents of 16 channels."""


def of(pipe: Any, words: Path, **changes: Any) -> Pipeline:
    setting = replace(setting_of(pipe, steps=3, height=64, width=64), **changes)
    return Pipeline(pipe, setting, load(words))


def far(a: torch.Tensor, b: torch.Tensor) -> int:
    """The biggest difference of two 8-bit images."""
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("scheduler", ["DDIM", "Euler-a", "DPM-Solver++", "DPM-Solver++-SDE", "LCM"])
def test_an_image_does_not_depend_on_its_batch(scheduler: str, words: Path) -> None:
    pipe = tiny_sd()
    pipe.scheduler = find_scheduler(scheduler).build(pipe.scheduler.config)
    pipeline = of(pipe, words)
    together = pipeline.draw(BASELINE, "search", [0, 1, 2])
    assert torch.equal(together, pipeline.draw(BASELINE, "search", [0, 1, 2]))
    assert far(together[2:], pipeline.draw(BASELINE, "search", [2])) <= 1
    assert far(together[1:], together[:2]) > 1


@pytest.mark.parametrize(
    ("make", "guidance_scale"), star((tiny_sd, tiny_sdxl, tiny_pixart, tiny_sd3, tiny_flux), (5.0, 1.0))
)
def test_encoded_text_draws_what_the_prompts_draw(make: Any, guidance_scale: float, words: Path) -> None:
    pipe = make()
    pipeline = of(pipe, words, guidance_scale=guidance_scale)
    drawn = pipeline.draw(BASELINE, "held-out", [0, 1])
    called = pipe(
        [pipeline.prompt("held-out", i) for i in (0, 1)],
        num_inference_steps=3,
        guidance_scale=guidance_scale,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(image_seed(0, "held-out", i)) for i in (0, 1)],
        output_type="pt",
        **pipeline.family.call,
    ).images
    assert far(drawn, (called * 255).round().byte()) <= 1
    assert pipeline.latents("held-out", [0, 1]).shape == LATENTS.get(make, (2, 4, 8, 8))


def test_each_text_is_encoded_once(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = of(tiny_sd(), words)
    encoded: list[str] = []
    original = pipeline.pipe.encode_prompt

    @wraps(original)
    def counted(prompt: Any, *args: Any, **kwargs: Any) -> Any:
        encoded.extend(prompt or [])
        return original(prompt, *args, **kwargs)

    monkeypatch.setattr(pipeline.pipe, "encode_prompt", counted)
    pipeline.draw(BASELINE, "search", [0, 1, 2, 3, 4])  # the fifth has the first one's prompt
    pipeline.draw(BASELINE, "search", [3, 2])
    assert sorted(encoded) == sorted(pipeline.prompts.search)


def test_prompts_begin_anew_with_fresh_seeds(words: Path) -> None:
    pipeline = of(tiny_sd(), words)
    count = len(pipeline.prompts.search)
    assert pipeline.prompt("search", count + 1) == pipeline.prompt("search", 1)
    first, again = pipeline.draw(BASELINE, "search", [1, count + 1])
    assert far(first, again) > 1


def test_seeds_differ_by_run_split_and_image() -> None:
    seeds = {image_seed(s, split, i) for s in (0, 1) for split in ("search", "held-out") for i in range(50)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_big_images_are_drawn_in_small_batches(words: Path) -> None:
    def sizes(**changes: Any) -> list[int]:
        return [len(batch) for batch in of(tiny_sd(), words, **changes).batches(range(10))]

    assert sizes() == [8, 2]
    assert sizes(height=1024, width=1024) == [2] * 5
    assert sizes(height=4096, width=4096, batch_size=4) == [4, 4, 2]


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (torch.zeros(3, 4, 4), "A black image"),
        (torch.full((3, 4, 4), 0.3), "An image of a single colour"),
        (torch.tensor([0.9, 0.1, 0.5])[:, None, None].expand(3, 4, 4), "An image of a single colour"),
        (torch.full((3, 4, 4), torch.nan), "NaN or infinite pixels"),
        (torch.eye(4).expand(3, 4, 4), None),
    ],
)
def test_worthless_images(image: torch.Tensor, fault: str | None) -> None:
    assert image_fault(image) == fault


def test_a_faulty_image_is_named(words: Path) -> None:
    pipeline = of(tiny_sd(), words)
    with torch.no_grad():
        pipeline.pipe.vae.decoder.conv_out.weight.fill_(torch.nan)
    with pytest.raises(MeasurementError, match=r"NaN.* for 'red cat' \(held-out image 0\)"):
        pipeline.draw(BASELINE, "held-out", [0])


class Read:
    """What a feature extractor gives."""

    pixel_values = torch.zeros(1)

    def to(self, place: Any) -> Read:
        return self


def blackened(images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
    """As a safety checker does it to what it flags."""
    return images * 0, [True] * len(images)


def test_an_active_safety_checker_is_named_as_the_reason(words: Path) -> None:
    pipe = tiny_sd()
    pipe.safety_checker, pipe.feature_extractor = blackened, lambda *_, **__: Read()
    pipeline = of(pipe, words)
    with pytest.raises(MeasurementError, match=r"safety checker replaced the image for 'red cat' .*= None"):
        pipeline.draw(BASELINE, "held-out", [0])
    pipe.safety_checker = None
    assert pipeline.draw(BASELINE, "held-out", [0]).any()


def test_the_users_progress_bar_comes_back(words: Path) -> None:
    pipe = tiny_sd()
    pipe.set_progress_bar_config(desc="mine")
    with quiet(pipe):
        assert pipe._progress_bar_config == {"desc": "mine", "disable": True}
    assert pipe._progress_bar_config == {"desc": "mine"}
    del pipe._progress_bar_config
    with quiet(pipe):
        pass
    assert not hasattr(pipe, "_progress_bar_config")


@pytest.mark.parametrize(
    ("make", "guidance_scale", "scheduler"), [(tiny_sdxl, 5.0, "Euler"), (tiny_pixart, 4.5, "DPM-Solver++")]
)
def test_setting_of_a_pipeline_object(make: Any, guidance_scale: float, scheduler: str) -> None:
    pipe = make()
    setting = setting_of(pipe, steps=7)
    assert (setting.height, setting.width, setting.guidance_scale) == (128, 128, guidance_scale)
    assert (setting.scheduler, setting.dtype, setting.device) == (scheduler, "float32", "cpu")
    assert setting.model == f"{type(pipe).__name__}-{weights_digest(denoiser_of(pipe))}"


class Own(StableDiffusionPipeline):
    """A user's own class, whose call passes on what it is given."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


def test_a_call_that_passes_on_its_keywords_has_the_defaults_of_the_class_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe = Own(**tiny_sd().components, requires_safety_checker=False)
    assert (setting_of(pipe, steps=7).guidance_scale, usual_argument(pipe, "num_inference_steps")) == (7.5, 50)
    monkeypatch.setattr(StableDiffusionPipeline, "__call__", Own.__call__)
    with pytest.raises(InputError, match="call of StableDiffusionPipeline does not tell its usual guidance_scale"):
        setting_of(tiny_sd(), steps=7)
    assert setting_of(tiny_sd(), steps=7, guidance_scale=3.0).guidance_scale == 3.0


def test_models_of_one_class_have_names_of_their_own() -> None:
    assert weights_digest(tiny_sd(0).unet) == weights_digest(tiny_sd(0).unet)
    assert weights_digest(tiny_sd(0).unet) != weights_digest(tiny_sd(1).unet)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("height", -64), ("width", 0), ("batch_size", 0), ("guidance_scale", float("nan"))],
)
def test_numbers_that_cannot_be(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        setting_of(tiny_sd(), **{"steps": 4, name: value})


def test_a_pipeline_of_no_family() -> None:
    pipe = tiny_sd()
    with pytest.raises(InputError, match=r"DDPMPipeline.*StableDiffusionPipeline"):
        setting_of(DDPMPipeline(pipe.unet, pipe.scheduler), steps=4)


@pytest.mark.parametrize(("make", "read"), [(tiny_sd, 16), (tiny_sdxl, 16), (tiny_pixart, 300)])
def test_cut_prompts_are_told_once(make: Any, read: int, caplog: pytest.LogCaptureFixture) -> None:
    """10,000 characters and emoji draw the beginning of the prompt; the libraries' own words are kept back."""
    prompts = PromptSet("long", ("a dog " * 1667, "🐼" * 200, "a red dog"), ("b " * 5000,))
    pipe = make()
    pipeline = Pipeline(pipe, setting_of(pipe, steps=2, height=64, width=64), prompts)
    _tell.cache_clear()
    pipeline.generate("search", [2])
    assert not caplog.records
    drawn = pipeline.draw(BASELINE, "search", [0, 1])
    pipeline.generate("search", [0])
    pipeline.generate("held-out", [0])
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in told] == ["hasten.measure._cut_prompts"]
    assert f"longer than the {read} tokens" in told[0].getMessage()
    beginning = replace_prompts(pipeline, ("a dog " * 100, "🐼" * 50))
    assert torch.equal(drawn, beginning.draw(BASELINE, "search", [0, 1]))


def replace_prompts(pipeline: Pipeline, search: tuple[str, ...]) -> Pipeline:
    return Pipeline(pipeline.pipe, pipeline.setting, PromptSet("other", search, ("b",)))


def test_a_fault_names_the_beginning_of_a_long_prompt() -> None:
    pipe = tiny_sd()
    prompts = PromptSet("long", ("a dog " * 1667,), ("a cat",))
    pipeline = Pipeline(pipe, setting_of(pipe, steps=1, height=64, width=64), prompts)
    pipe.vae.decoder.register_forward_hook(lambda *args: args[2] * torch.nan)
    with pytest.raises(MeasurementError, match=r"NaN.*'a dog a dog.*…' \(search image 0\)") as caught:
        pipeline.draw(BASELINE, "search", [0])
    assert len(str(caught.value)) < 200
