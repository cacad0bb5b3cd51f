"""The recorded scripts of the big models, run for real on tiny pipelines of their classes, at a small size."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops
from tests.support.marks import rarely
from tests.support.scripts import RECORDED, Case, rendered

from hasten.models import load_pipeline
from hasten.schedulers import find_scheduler
from hasten.script.claim import Runtime
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd, tiny_sd3, tiny_sdxl

FLOW = {
    "SD3": tiny_sd3,
    "FLUX.1-dev": tiny_flux,
    "FLUX.1-schnell": lambda: tiny_flux(guidance=False),
}
BUILDERS = {"SD1.5": tiny_sd, "SDXL": tiny_sdxl, "PixArt-sigma": tiny_pixart, **FLOW}
SCRIPTS = [case for case in RECORDED if case.model in BUILDERS]
OFTEN = {(case.model, case.runtime): case for case in sorted(SCRIPTS, key=lambda c: len(c.methods))}.values()
"""What ``make test`` draws: of each model and runtime the script with most methods."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, build in BUILDERS.items():
        found[name] = tmp_path_factory.mktemp(name)
        build().save_pretrained(found[name])
    return found


@pytest.fixture(scope="module")
def plain(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image.Image]:
    """What the recorded plain scripts draw."""
    place = tmp_path_factory.mktemp("plain")
    return {name: drawn(Case(name, "hasten"), folder, place) for name, folder in folders.items()}


def drawn(case: Case, model: Path, place: Path) -> Image.Image:
    """12 steps, so that T-GATE's gate at 10 is passed. Of several images the first."""
    source = rendered(case)
    small, changed = re.subn(r'"height": \d+,(\s+)"width": \d+,', r'"height": 64,\1"width": 64,', source)
    assert changed == 2, "the claim and the call"
    path, picture = place / case.file, place / "image.png"
    path.write_text(small, encoding="utf-8")
    run(path, "--model", str(model), "--steps", "12", "--prompt", "a cat", "--output", str(picture))
    return Image.open(picture if case.batch_size == 1 else place / "image-1.png").convert("RGB")


def run(path: Path, *arguments: str) -> None:
    before = sys.argv
    sys.argv = [str(path), *arguments]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.file, marks=rarely(case not in OFTEN)) for case in SCRIPTS]
)
def test_recorded_script_draws(
    case: Case, folders: dict[str, Path], plain: dict[str, Image.Image], tmp_path: Path
) -> None:
    """An image of the right size; another than the plain one exactly when the script has a method."""
    image = drawn(case, folders[case.model], tmp_path)
    assert image.size == (64, 64)
    same = ImageChops.difference(image, plain[case.model]).getbbox() is None
    assert same == (not case.methods)


UNETS = (("deepcache",), ("tgate",), ("deepcache", "tgate"))
RIGHT = [*((name, methods) for name in ("SD1.5", "SDXL") for methods in UNETS), ("PixArt-sigma", ("tgate",))]


@pytest.mark.parametrize(
    ("name", "methods"),
    [pytest.param(name, m, marks=rarely(name == "SDXL" and len(m) == 1)) for name, m in RIGHT],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_both_runtimes_draw_the_same(
    name: str, methods: tuple[str, ...], folders: dict[str, Path], tmp_path: Path
) -> None:
    """Where the packages are right, the two runtimes' scripts agree to the pixel."""
    runtimes: tuple[Runtime, ...] = ("hasten", "upstream")
    hasten, upstream = (drawn(Case(name, runtime, methods), folders[name], tmp_path) for runtime in runtimes)
    assert ImageChops.difference(hasten, upstream).getbbox() is None


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        pytest.param("emoji-sdxl", "DDIM", marks=rarely()),
        pytest.param("emoji-pixart", "DDIM", marks=rarely()),
        ("emoji-sd3", "FlowMatchEuler"),
    ],
)
def test_a_script_draws_with_the_embedded_model(name: str, scheduler: str, tmp_path: Path) -> None:
    """As it stands, in fewer steps; hasten's own loading gives the same picture for the script's arguments."""
    path, picture = tmp_path / "script.py", tmp_path / "image.png"
    path.write_text(rendered(Case(name, "hasten")), encoding="utf-8")
    run(path, "--steps", "2", "--output", str(picture))
    given = runpy.run_path(str(path))
    pipe = load_pipeline(name, find_scheduler(scheduler))
    generator = torch.Generator().manual_seed(given["SEED"])
    drawn = pipe(given["PROMPT"], num_inference_steps=2, generator=generator, **given["CALL"]).images[0]
    image = Image.open(picture).convert("RGB")
    assert image.size == (128, 128)
    assert ImageChops.difference(image, drawn).getbbox() is None
