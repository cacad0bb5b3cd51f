"""The fresh process behind ``verify``: imports a script from its path and measures its own functions."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError, MeasurementError
from hasten.measure.environment import environment
from hasten.measure.fresh_process import answer
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import image_fault, image_seed
from hasten.measure.prompts import PromptSet
from hasten.measure.prompts import load as load_prompts
from hasten.measure.setting import scheduler_name
from hasten.measure.stats import loss_of
from hasten.measure.timing import MOST_TIMES, UntilKnown, interleaved
from hasten.metrics import METRICS, load_scorer
from hasten.plan import Plan
from hasten.records import Latency, Loss, Split, Trial
from hasten.script.claim import Claim, promises, read_claim

if TYPE_CHECKING:
    import torch

SCORED_AT_ONCE = 8
FIRST = 1_000_000
"""The first held-out image of a set without fresh prompts: far from those that a search has confirmed with."""


PLACES = 100_000
"""So many first images there are to choose from: each script has one of its own, always the same."""


def place_of(claim: Claim, prompts: PromptSet) -> tuple[Split, int]:
    """The split that is drawn here and nowhere else, and its first image: ``fresh`` where the set has it.

    On the same few prompts all scripts of a batch would be lucky, or none.
    """
    own = int(hashlib.sha256(claim.model_dump_json().encode()).hexdigest(), 16) % PLACES
    return ("fresh", own) if prompts.fresh else ("held-out", FIRST + own)


class Sides:
    """The script's pipeline without and with its plan.

    A plan of hasten's runtime comes off again, so one pipeline serves both; the packages of the upstream
    runtime patch for good, so the accelerated one is loaded beside.
    """

    def __init__(self, module: ModuleType, claim: Claim) -> None:
        self.module, self.claim = module, claim
        self.prompts = load_prompts(claim.prompts)
        self.split, self.first = place_of(claim, self.prompts)
        self.baseline = module.load_pipeline()
        self.accelerated = self.baseline
        self.around: Callable[[], AbstractContextManager[object]] = nullcontext
        if not Plan.parse(claim.plan):
            return
        if claim.runtime == "hasten":
            self.around = lambda: module.accelerate(self.baseline)
        else:
            self.accelerated = module.accelerate(module.load_pipeline())

    def chosen(self, samples: int) -> list[str]:
        """The prompts of so many images, beginning anew when they run out."""
        prompts = self.prompts.of(self.split)
        return [prompts[i % len(prompts)] for i in range(self.first, self.first + samples)]

    def draw(self, pipe: Any, index: int, prompt: str) -> list[Any]:
        """The images of one call of the script's ``generate``, as Pillow images."""
        seed = image_seed(self.claim.seed, self.split, index)
        drawn = self.module.generate(pipe, prompt, self.claim.steps, seed)
        return list(drawn) if isinstance(drawn, Sequence) else [drawn]

    def images(self, accelerated: bool, prompts: Sequence[str]) -> torch.Tensor:
        """(n, 3, h, w), 0 to 1: one image a prompt, the split's from ``first`` on."""
        import torch

        pipe, around = (self.accelerated, self.around) if accelerated else (self.baseline, nullcontext)
        with around():
            drawn = [self.draw(pipe, i, prompt)[0] for i, prompt in enumerate(prompts, self.first)]
        return torch.stack([_tensor(image) for image in drawn])

    def latency(self, prompt: str, pairs: int) -> Latency:
        return interleaved(
            lambda: self.draw(self.baseline, self.first, prompt),
            lambda: self.draw(self.accelerated, self.first, prompt),
            pairs=pairs * MOST_TIMES,
            device=self.claim.device,
            around_b=self.around,
            enough=UntilKnown(pairs, self._decided, self.claim.confidence),
            confidence=self.claim.confidence,
        )

    def _decided(self, low: float, high: float) -> bool:
        """The interval of the speedup lies on one side of all that the script promises."""
        return not any(low < promised <= high for promised in promises(self.claim))


def measure(path: Path, samples: int, pairs: int) -> Trial:
    """The script's trial, on prompts and seeds that no search or verdict has used."""
    started, claim = time.monotonic(), read_claim(path)
    with device_lock(claim.device):
        sides = Sides(_module(path), claim)
        prompts = sides.chosen(samples)
        reference, plan = sides.images(False, prompts), sides.images(True, prompts)
        latency = sides.latency(prompts[0], pairs)
    fault = next(_faults(sides, plan), "")
    return Trial(
        plan=claim.plan,
        steps=claim.steps,
        status="failed" if fault else "ok",
        reason=fault,
        split=sides.split,
        offset=sides.first,
        latency=latency,
        losses={} if fault else _losses(claim, reference, plan, prompts),
        environment=environment(claim.device, claim.dtype),
        seconds=time.monotonic() - started,
    )


def _faults(sides: Sides, images: torch.Tensor) -> Iterator[str]:
    """What makes the script another one than it claims to be, or its images worthless."""
    claim, found = sides.claim, scheduler_name(sides.baseline.scheduler)
    if found != claim.scheduler:
        yield f"its scheduler is {found}, the claim says {claim.scheduler}"
    height, width = images.shape[-2:]
    if (height, width) != (claim.height, claim.width):
        yield f"its images are {width}x{height}, the claim says {claim.width}x{claim.height}"
    for index, image in enumerate(images, sides.first):
        if fault := image_fault(image):
            yield f"{fault} at {sides.split} image {index}"


def _losses(claim: Claim, reference: torch.Tensor, plan: torch.Tensor, prompts: Sequence[str]) -> dict[str, Loss]:
    if not Plan.parse(claim.plan):
        return {}
    return {name: _loss(name, claim, reference, plan, prompts) for name in {**claim.max_loss, **claim.losses}}


def _loss(name: str, claim: Claim, reference: torch.Tensor, plan: torch.Tensor, prompts: Sequence[str]) -> Loss:
    metric = METRICS.get(name)
    scorer = load_scorer(claim.scorer, claim.device) if metric.needs_scorer else None

    def score(images: torch.Tensor) -> tuple[float, ...]:
        return tuple(
            value
            for start in range(0, len(images), SCORED_AT_ONCE)
            for part in [slice(start, start + SCORED_AT_ONCE)]
            for value in metric.score(images[part], prompts[part], reference[part], scorer)
        )

    scores = score(plan)
    baseline = (metric.perfect,) * len(scores) if metric.needs_references else score(reference)
    return loss_of(metric, baseline, scores, version=metric.version(scorer), confidence=claim.confidence)


def _tensor(image: Any) -> torch.Tensor:
    import numpy as np
    import torch

    if not hasattr(image, "convert"):
        raise MeasurementError(f"generate() gave a {type(image).__name__}, not an image")
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255


def _module(path: Path) -> ModuleType:
    """The script as a module; its ``main`` does not run."""
    spec = importlib.util.spec_from_file_location("hasten_generated_script", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    answer(lambda given: measure(Path(given["path"]), given["samples"], given["pairs"]))
