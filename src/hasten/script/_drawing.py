"""A process that draws images on its parent's request: the images of a script, or the reference images.

It measures and judges nothing, because a script that runs here can change everything that this process says. Its
answers are plain images. The parent judges these, and the times at which they arrive (``_measure.py``).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from hasten.errors import HastenError, InputError, MeasurementError
from hasten.plan import Plan
from hasten.script._frames import Frames
from hasten.script.claim import Claim
from hasten.texts import fit


class Draws(Protocol):
    """Either side of a comparison."""

    def open(self) -> dict[str, Any]: ...
    def accelerate(self) -> None: ...
    def draw(self, prompt: str, seed: int) -> list[Any]: ...


class Reference:
    """The pipeline that the claim names, without any method, as hasten itself loads and calls it."""

    def __init__(self, claim: Claim, source: str) -> None:
        self.claim, self.source = claim, source

    def open(self) -> dict[str, Any]:
        """Loads the pipeline. Returns the environment of the measurement."""
        from hasten.measure._memory import refuse_too_large
        from hasten.measure.environment import environment
        from hasten.measure.pipeline import known_family
        from hasten.models import load_pipeline, model_at
        from hasten.schedulers import find_scheduler

        claim = self.claim
        if claim.threads is not None:
            import torch

            torch.set_num_threads(claim.threads)  # as the script does
        self.pipe = load_pipeline(self.source, find_scheduler(claim.scheduler), claim.dtype, claim.device)
        refuse_too_large(self.pipe, claim)
        self.given = known_family(self.pipe).called_with(model_at(str(self.pipe.config.get("_name_or_path"))))
        return {"environment": environment(claim.device, claim.dtype)}

    def accelerate(self) -> None:
        """Does nothing: the reference has no plan."""

    def draw(self, prompt: str, seed: int) -> list[Any]:
        """Returns the images of one call, as Pillow images."""
        import torch

        claim = self.claim
        images: list[Any] = self.pipe(
            prompt,
            num_inference_steps=claim.steps,
            generator=torch.Generator("cpu").manual_seed(seed),
            height=claim.height,
            width=claim.width,
            guidance_scale=claim.guidance_scale,
            num_images_per_prompt=claim.batch_size,
            **self.given,
        ).images
        return images


class Script:
    """The side that calls the script's own functions."""

    def __init__(self, claim: Claim, source: str) -> None:
        self.claim, self.path = claim, Path(source)

    def open(self) -> dict[str, Any]:
        """Imports the script and loads its pipeline. Returns the name of that pipeline's scheduler."""
        from hasten.measure.setting import scheduler_name

        self.module = _module(self.path)
        self.pipe = self.module.load_pipeline()
        return {"scheduler": scheduler_name(self.pipe.scheduler)}

    def accelerate(self) -> None:
        """Installs the plan for good."""
        if Plan.parse(self.claim.plan):
            handle = self.module.accelerate(self.pipe)
            self.pipe = handle if self.claim.runtime == "upstream" else self.pipe

    def draw(self, prompt: str, seed: int) -> list[Any]:
        """Returns the images of one call of the script's ``generate``."""
        drawn = self.module.generate(self.pipe, prompt, self.claim.steps, seed)
        return list(drawn) if isinstance(drawn, Sequence) else [drawn]


SIDES: dict[str, Callable[[Claim, str], Draws]] = {"reference": Reference, "script": Script}


def serve(frames: Frames, side: Draws) -> None:
    """Answers requests until the parent closes the channel."""
    while (asked := frames.receive()) is not None:
        try:
            answer, pixels = _done(side, asked[0])
        except HastenError as error:
            answer, pixels = {"error": str(error), "input": isinstance(error, InputError)}, b""
        except (Exception, SystemExit) as error:
            answer, pixels = {"error": fit(f"{type(error).__name__}: {error}"), "input": False}, b""
        frames.send(answer, pixels)


def _done(side: Draws, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if asked["do"] == "open":
        return side.open(), b""
    if asked["do"] == "accelerate":
        side.accelerate()
        return {}, b""
    images = [_rgb(image) for image in side.draw(asked["prompt"], asked["seed"])]
    return {"sizes": [image.size for image in images]}, b"".join(image.tobytes() for image in images)


def _rgb(image: Any) -> Any:
    if not hasattr(image, "convert"):
        raise MeasurementError(f"generate() gave a {type(image).__name__}, not an image")
    return image.convert("RGB")


def _module(path: Path) -> ModuleType:
    """Returns the script as a module. Its ``main`` does not run."""
    spec = importlib.util.spec_from_file_location("hasten_generated_script", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Serves one side. The channel is moved to other descriptors, so that later prints go to standard error."""
    frames = Frames(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    given = json.loads(sys.argv[1])
    import diffusers

    for name in given["needed"]:  # load them while the other process loads them, too
        getattr(diffusers, name, None)
    frames.send({"ready": diffusers.__version__})  # foreign code may run after this
    serve(frames, SIDES[given["side"]](Claim.model_validate(given["claim"]), given["source"]))


if __name__ == "__main__":
    main()
