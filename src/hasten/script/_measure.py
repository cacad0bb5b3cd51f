"""Measures a script against hasten's own pipeline. The clock, the scores and the verdict belong to this process.

Two processes draw in turn, image by image: one runs the script, the other runs the plain pipeline that the claim
names, as hasten loads it. Both draw the same prompts and seeds, which this process chooses at random. Every image
is timed from the request to its last pixel, and every timed image is scored.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hasten.measure.cautions import OtherLoad
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import image_fault, image_seed
from hasten.measure.prompts import PromptSet
from hasten.measure.prompts import load as load_prompts
from hasten.measure.stats import loss_of
from hasten.measure.threads import using_threads
from hasten.measure.timing import LONGEST_S, MOST_TIMES, UntilKnown, interleaved
from hasten.metrics import METRICS, load_scorer
from hasten.plan import Plan
from hasten.records import Latency, Loss, Split, Trial
from hasten.script._drawer import Drawer, Patience
from hasten.script.claim import Claim, model_source, needed_of, promises
from hasten.script.surroundings import memory_limit
from hasten.texts import fit
from hasten.verdict import reaches

if TYPE_CHECKING:
    import torch

SCORED_AT_ONCE = 8
FIRST = 1_000_000
"""The first held-out image for sets without fresh prompts, far from the images that searches confirm with."""
PLACES = 1 << 40
"""The number of places at which the images may begin. With so large a number (2⁴⁰) a script cannot have drawn its
images before it is asked."""
WARM, NAME = -1, 80
FIDELITY = "ssim"
ALIKE = 0.02
"""The largest mean difference, as a share of a pixel's range, between the same image drawn in two processes."""


def place_of(prompts: PromptSet, place: int | None = None) -> tuple[Split, int]:
    """Returns the split that only this measurement draws from (``fresh`` where the set has it), and its first
    image.

    ``place``: 0 to 2⁴⁰ − 1; None: at random.
    """
    own = secrets.randbelow(PLACES) if place is None else place % PLACES
    return ("fresh", own) if prompts.fresh else ("held-out", FIRST + own)


@dataclass
class Row:
    """One side: its process, and the images that it has drawn, (3, h, w), uint8."""

    drawer: Drawer
    images: list[torch.Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Sitting:
    """The images that both sides draw. Image i has the prompt and seed of the split's image ``first`` + i."""

    claim: Claim
    prompts: PromptSet
    split: Split
    first: int

    @classmethod
    def of(cls, claim: Claim, place: int | None) -> Sitting:
        prompts = load_prompts(claim.prompts)
        return cls(claim, prompts, *place_of(prompts, place))

    def prompt(self, number: int) -> str:
        prompts = self.prompts.of(self.split)
        return prompts[(self.first + number) % len(prompts)]

    def draw(self, drawer: Drawer, number: int, first: bool = False) -> torch.Tensor:
        seed = image_seed(self.claim.seed, self.split, self.first + number)
        return drawer.draw(self.prompt(number), seed, first)

    def next(self, row: Row) -> None:
        row.images.append(self.draw(row.drawer, len(row.images)))


def measure(
    path: Path,
    claim: Claim,
    samples: int,
    pairs: int,
    python: str = sys.executable,
    limit_s: float | None = None,
    place: int | None = None,
    longest_s: float = LONGEST_S,
) -> Trial:
    """Returns the script's trial, on prompts and seeds that no search or verdict has used and no script can know.

    Args:
        samples: the least number of images that are scored and timed.
        limit_s: the longest time for any call of the script; None: a multiple of the time of hasten's own call.
        place: the place of the first image; None: at random.
    """
    started, sitting = time.monotonic(), Sitting.of(claim, place)
    with device_lock(claim.device):
        held = () if claim.device.startswith("cpu") else tuple(OtherLoad(claim.device).cautions())
        with _own(path, claim, python) as own, _theirs(path, claim, python) as theirs:
            for drawer in (own, theirs):
                drawer.start()
            opening = time.monotonic()
            here = own.open()["environment"]
            drawing = time.monotonic()
            reference = sitting.draw(own, WARM)
            patience = Patience.beside(drawing - opening, time.monotonic() - drawing, limit_s)
            theirs.limit(patience, memory_limit(own.resident_bytes()))
            faults = [*_of_its_pipeline(sitting, theirs, reference)]
            rows = Row(own), Row(theirs)
            known = UntilKnown(pairs, partial(_decided, claim), claim.confidence, longest_s)
            latency = _latency(sitting, *rows, samples, known, held)
    images = [row.images for row in rows]
    faults += _of_images(sitting, *images)
    with using_threads(claim.threads):
        losses = {} if faults else _losses(sitting, *images)
    return Trial(
        plan=Plan.parse(claim.plan),
        steps=claim.steps,
        status="failed" if faults else "ok",
        reason=faults[0] if faults else "",
        split=sitting.split,
        offset=sitting.first,
        latency=latency,
        losses=losses,
        environment=here,
        seconds=time.monotonic() - started,
    )


def _own(path: Path, claim: Claim, python: str) -> Drawer:
    source = model_source(path, claim)
    name = f"The plain pipeline of {path}"
    return Drawer("reference", claim, source, name, python, needed_of(path, "diffusers"))


def _theirs(path: Path, claim: Claim, python: str) -> Drawer:
    return Drawer("script", claim, str(path), str(path), python, needed_of(path, "diffusers"))


def _of_its_pipeline(sitting: Sitting, script: Drawer, reference: torch.Tensor) -> Iterator[str]:
    """Opens the script up to its plan. Yields reasons why its pipeline is not the one that it claims."""
    claim = sitting.claim
    found = fit(str(script.open().get("scheduler")), NAME)
    plain = sitting.draw(script, WARM, first=True)
    if found != claim.scheduler:
        yield f"its scheduler is {found}, the claim says {claim.scheduler}"
    elif plain.shape == reference.shape and (apart := _apart(plain, reference)) > ALIKE:
        yield (
            f"without its plan it draws other images than the model and scheduler that it claims: {apart:.0%} "
            f"of the range of a pixel apart, allowed is {ALIKE:.0%}"
        )
    if Plan.parse(claim.plan):
        script.accelerate()
        sitting.draw(script, WARM, first=True)


def _latency(
    sitting: Sitting, reference: Row, script: Row, samples: int, known: UntilKnown, held: Sequence[str]
) -> Latency:
    """Draws and times the images of both sides in turn. Only one of the two processes runs at a time."""
    claim, drawers = sitting.claim, (reference.drawer, script.drawer)
    load = OtherLoad("cpu", lambda: time.process_time() + sum(d.busy_s() for d in drawers))
    for drawer in drawers:
        drawer.rest()
    return interleaved(
        partial(sitting.next, reference),
        partial(sitting.next, script),
        pairs=max(samples, known.pairs * MOST_TIMES),
        warmup=0,
        around_a=reference.drawer.awake,
        around_b=script.drawer.awake,
        enough=lambda a, b: len(b) >= samples and known(a, b),
        cautions=load.cautions if claim.device.startswith("cpu") else lambda: held,
        confidence=claim.confidence,
    )


def _decided(claim: Claim, low: float, high: float) -> bool:
    """Returns whether no promised speedup of the script lies inside the interval."""
    return all(reaches((low, high), promised) != "open" for promised in promises(claim))


def _of_images(
    sitting: Sitting, reference: Sequence[torch.Tensor], images: Sequence[torch.Tensor]
) -> Iterator[str]:
    """Yields reasons why the script's images are not what it claims, or are worthless."""
    claim = sitting.claim
    sizes = {tuple(image.shape[-2:]) for image in images}
    for height, width in sizes - {(claim.height, claim.width)}:
        yield f"its images are {width}x{height}, the claim says {claim.width}x{claim.height}"
    for number, image in enumerate(images):
        if fault := image_fault(image.float() / 255):
            yield f"{fault} at {sitting.split} image {sitting.first + number}"
    if not Plan.parse(claim.plan) and sizes == {tuple(reference[0].shape[-2:])}:
        apart = max(_apart(*pair) for pair in zip(reference, images, strict=True))
        if apart > ALIKE:
            yield f"it draws other images than the plain pipeline: {apart:.0%} of the range of a pixel apart"


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Returns the mean absolute difference of two images, as a share of a pixel's range."""
    return float((a.float() - b.float()).abs().mean()) / 255


def _losses(
    sitting: Sitting, reference: Sequence[torch.Tensor], images: Sequence[torch.Tensor]
) -> dict[str, Loss]:
    """Returns the losses on the claim's metrics, and always on a fidelity metric, because images of another seed
    may have the same score."""
    claim = sitting.claim
    if not Plan.parse(claim.plan):
        return {}
    names = {**claim.max_loss, **claim.losses, FIDELITY: None}
    prompts = [sitting.prompt(number) for number in range(len(images))]
    return {name: _loss(name, claim, reference, images, prompts) for name in names}


def _loss(
    name: str,
    claim: Claim,
    reference: Sequence[torch.Tensor],
    images: Sequence[torch.Tensor],
    prompts: Sequence[str],
) -> Loss:
    import torch

    metric = METRICS.get(name)
    scorer = load_scorer(claim.scorer, claim.device) if metric.needs_scorer else None

    def score(images: Sequence[torch.Tensor]) -> tuple[float, ...]:
        found: list[float] = []
        for start in range(0, len(images), SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            pixels, beside = (torch.stack([*row[part]]).float() / 255 for row in (images, reference))
            found += metric.score(pixels, prompts[part], beside, scorer)
        return tuple(found)

    scores = score(images)
    baseline = (metric.perfect,) * len(scores) if metric.needs_references else score(reference)
    return loss_of(metric, baseline, scores, version=metric.version(scorer), confidence=claim.confidence)
