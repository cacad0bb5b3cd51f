"""Calls a pipeline the same way every time: with the same prompts and seeds, and with text that is encoded
once."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from hasten.errors import InputError, MeasurementError
from hasten.measure._cut_prompts import cut_prompts_told_once
from hasten.measure._memory import refuse_too_large
from hasten.measure.prompts import PromptSet, short
from hasten.measure.time_limit import TimeLimit
from hasten.models import FAMILIES, family_of, likened, model_at
from hasten.models.base import Family
from hasten.plan import Plan
from hasten.records import Split
from hasten.task import Setting

if TYPE_CHECKING:
    import torch

BATCH = 8
BATCH_PIXELS = BATCH * 512 * 512
ENCODED_AT_ONCE = 16


def _unheard(message: str) -> None:
    """Ignores the message that a method had no effect, which most runs do not need."""


class Pipeline:
    """A diffusers pipeline in one setting, with the prompts and seeds that measure it.

    Image i of a split has prompt i, where the prompts start again when they run out, and its own random generator,
    seeded from (seed, split, i). The generator is on the CPU, so that batches of another size and other devices
    start from the same latents, and stochastic schedulers draw the same noise.

    Args:
        pipe: the diffusers pipeline.
        setting: the setting to call it with.
        prompts: the prompts.
        seed: the seed of all images.

    Raises:
        InputError: hasten does not know the pipeline's class, or the images do not fit into memory.
    """

    def __init__(self, pipe: Any, setting: Setting, prompts: PromptSet, seed: int = 0) -> None:
        self.pipe, self.setting, self.prompts, self.seed = pipe, setting, prompts, seed
        self.family = known_family(pipe)
        refuse_too_large(pipe, setting)
        self.time_limit = TimeLimit()
        self.given: dict[str, Any] = self.family.called_with(model_at(str(pipe.config.get("_name_or_path"))))
        self._text: dict[str, dict[str, torch.Tensor]] = {}

    def at(self, setting: Setting) -> Self:
        """Returns the same pipeline, prompts and seeds in another setting."""
        other = copy.copy(self)
        other.setting, other._text = setting, {}
        return other

    @property
    def denoiser(self) -> torch.nn.Module:
        module: torch.nn.Module = getattr(self.pipe, self.family.denoiser)
        return module

    def prompt(self, split: Split, index: int) -> str:
        prompts = self.prompts.of(split)
        return prompts[index % len(prompts)]

    def completed(self, plan: Plan, steps: int | None = None) -> Plan:
        """Returns the plan with its defaults, checked for this pipeline. Raises InputError where it is illegal."""
        if steps is not None and steps < 1:
            raise InputError(f"The number of steps is {steps}: allowed is 1 or more.")
        if not plan:
            return plan
        from hasten.methods import check_plan

        return check_plan(plan, self.pipe, steps or self.setting.steps)

    def installed(
        self, plan: Plan, steps: int | None = None, tell: Callable[[str], object] = _unheard
    ) -> AbstractContextManager[object]:
        """Returns a context in which the plan is applied. ``tell`` is called with a sentence about a method
        without effect."""
        if not plan:
            return nullcontext()
        from hasten.methods import apply

        handle: AbstractContextManager[object] = apply(
            self.pipe, plan, steps=steps or self.setting.steps, tell=tell
        )
        return handle

    def generate(self, split: Split, indices: Sequence[int], steps: int | None = None) -> None:
        """Makes one call from text to images, as a user does. This is what is timed."""
        self._call(split, indices, steps, prompt=[self.prompt(split, i) for i in indices])

    def draw(self, plan: Plan, split: Split, indices: Sequence[int], steps: int | None = None) -> torch.Tensor:
        """Returns the images of a plan as a file would hold them: (n, 3, h, w), uint8, on the CPU.

        Raises:
            MeasurementError: an image contains NaN, or all its pixels are equal.
        """
        import torch

        states = [self.text_states(split, batch) for batch in self.batches(indices)]
        with self.installed(plan, steps):
            drawn = [
                self._draw(split, batch, steps, text)
                for batch, text in zip(self.batches(indices), states, strict=True)
            ]
        return torch.cat(drawn)

    def latents(self, split: Split, indices: Sequence[int]) -> torch.Tensor:
        """Returns the final latents of one call, all images at once, before decoding: (n, channels, h, w)."""
        text = self.text_states(split, indices)
        return self._call_encoded(split, indices, None, "latent", text)

    def batches(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        """Returns ``indices`` in batches: 8 images of 512×512 at once, fewer larger ones, but at least the
        setting's batch size."""
        fits = BATCH_PIXELS // (self.setting.height * self.setting.width)
        size = max(min(BATCH, fits), self.setting.batch_size, 1)
        return (indices[start : start + size] for start in range(0, len(indices), size))

    def text_states(self, split: Split, indices: Sequence[int]) -> dict[str, Any]:
        """Returns the encoded prompts as tensors, under the names of the pipeline's arguments. Each text is
        encoded once.

        Where the family does not declare the results of ``encode_prompt``, the prompts themselves are returned.
        """
        import torch

        prompts = [self.prompt(split, i) for i in indices]
        if not self.family.text_states:
            return {"prompt": prompts}
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._text]
        for start in range(0, len(new), ENCODED_AT_ONCE):
            self._encode(new[start : start + ENCODED_AT_ONCE])
        names = self._text[prompts[0]]
        return {name: torch.stack([self._text[prompt][name] for prompt in prompts]) for name in names}

    def _encode(self, prompts: Sequence[str]) -> None:
        import torch

        given = {
            "prompt": list(prompts),
            "prompt_2": None,  # None makes the other encoders read the same prompt; SD3 requires the argument
            "prompt_3": None,
            "device": self.pipe._execution_device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": self.setting.guidance_scale > 1,
            **self.given,
        }
        takes = inspect.signature(self.pipe.encode_prompt).parameters
        with torch.inference_mode(), cut_prompts_told_once(self.pipe):
            encoded = self.pipe.encode_prompt(**{name: value for name, value in given.items() if name in takes})
        named = zip(self.family.text_states, encoded, strict=True)
        states = {name: state for name, state in named if name and state is not None}
        for i, prompt in enumerate(prompts):
            self._text[prompt] = {name: state[i] for name, state in states.items()}

    def _draw(self, split: Split, indices: Sequence[int], steps: int | None, text: dict[str, Any]) -> torch.Tensor:
        images = self._call_encoded(split, indices, steps, "pt", text)
        self._check(images, split, indices)
        pixels: torch.Tensor = (images.float() * 255).round().byte().cpu()
        return pixels

    def _call_encoded(
        self, split: Split, indices: Sequence[int], steps: int | None, kind: str, text: dict[str, Any]
    ) -> torch.Tensor:
        """Returns the output of a call for encoded text, of the given ``kind``."""
        # In some pipelines the negative prompt is "" by default, which they refuse beside its encoded form.
        negative = {"negative_prompt": None} if self.family.text_states else {}
        output = self._call(split, indices, steps, output_type=kind, **negative, **text)
        self._refuse_censored(output, split, indices)
        images: torch.Tensor = output.images
        return images

    def _refuse_censored(self, output: Any, split: Split, indices: Sequence[int]) -> None:
        """Raises MeasurementError where a safety checker has replaced an image by a black one."""
        for index, flagged in zip(indices, getattr(output, "nsfw_content_detected", None) or (), strict=False):
            if flagged:
                raise MeasurementError(
                    f"The pipeline's safety checker replaced the image for {short(self.prompt(split, index))!r} "
                    f"({split} image {index}) by a black one. Measure without it (pipe.safety_checker = None) and "
                    "put it back afterwards, or give other prompts."
                )

    def _call(self, split: Split, indices: Sequence[int], steps: int | None, **inputs: Any) -> Any:
        with quiet(self.pipe), cut_prompts_told_once(self.pipe), self.time_limit.call():
            return self.pipe(
                num_inference_steps=self.setting.steps if steps is None else steps,
                guidance_scale=self.setting.guidance_scale,
                height=self.setting.height,
                width=self.setting.width,
                generator=[self._generator(split, i) for i in indices],
                **self.given,
                **inputs,
            )

    def _generator(self, split: Split, index: int) -> torch.Generator:
        import torch

        return torch.Generator().manual_seed(image_seed(self.seed, split, index))

    def _check(self, images: torch.Tensor, split: Split, indices: Sequence[int]) -> None:
        for image, index in zip(images, indices, strict=True):
            if fault := image_fault(image):
                raise MeasurementError(
                    f"{fault} for {short(self.prompt(split, index))!r} ({split} image {index})."
                )


def known_family(pipe: Any) -> Family:
    """Returns the pipeline's family, or a family like that of its denoiser.

    Raises:
        InputError: hasten has no family for its class, and it is not a text-to-image pipeline with a known
            denoiser.
    """
    family = family_of(pipe) or likened(pipe)
    if family is None:
        pipelines = ", ".join(f.pipeline for f in FAMILIES.all())
        denoisers = ", ".join(sorted({f.denoiser_class for f in FAMILIES.all()}))
        raise InputError(
            f"hasten does not know the pipeline {type(pipe).__name__}. It knows: {pipelines}, and any other from "
            f"text to images with one of these denoisers: {denoisers}."
        )
    return family


def image_seed(seed: int, split: Split, index: int) -> int:
    """Returns the seed of image ``index`` of a split: 0 to 2⁶³ − 1, different for each, and the same on every
    machine."""
    digest = hashlib.sha256(f"{seed}/{split}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def image_fault(image: torch.Tensor) -> str | None:
    """Returns why an image (3, h, w) with values from 0 to 1 is worthless (NaN, or equal pixels), or None."""
    import torch

    if not torch.isfinite(image).all():
        return "NaN or infinite pixels"
    pixels = (image.float() * 255).round().flatten(1)
    if (pixels != pixels[:, :1]).any():
        return None
    return "A black image" if not pixels.any() else "An image of a single colour"


@contextmanager
def quiet(pipe: Any) -> Iterator[None]:
    """Hides the pipeline's progress bar inside the context, and restores the user's own setting after it."""
    before = getattr(pipe, "_progress_bar_config", None)
    pipe.set_progress_bar_config(**{**(before or {}), "disable": True})
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before
