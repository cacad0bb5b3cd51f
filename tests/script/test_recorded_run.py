"""The recorded scripts of the big models, run for real on tiny pipelines of their classes, at a small size."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from pipelines import tiny_sd, tiny_sdxl

RECORDED = Path(__file__).parent.parent / "recorded"
BUILDERS = {"SD1.5": tiny_sd, "SDXL": tiny_sdxl}
SCRIPTS = sorted(p.name for p in RECORDED.glob("*.py") if p.name.split("_")[0] in BUILDERS)


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
    return {name: drawn(f"{name}_hasten_plain.py", folder, place) for name, folder in folders.items()}


def drawn(script: str, model: Path, place: Path) -> Image.Image:
    """12 steps, so that T-GATE's gate at 10 is passed."""
    source = (RECORDED / script).read_text(encoding="utf-8")
    small, changed = re.subn(r'"height": \d+, "width": \d+,', '"height": 64, "width": 64,', source)
    assert changed == 1
    path, picture = place / script, place / "image.png"
    path.write_text(small, encoding="utf-8")
    before = sys.argv
    sys.argv = [str(path), "--model", str(model), "--steps", "12", "--prompt", "a cat", "--output", str(picture)]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before
    return Image.open(picture).convert("RGB")


@pytest.mark.parametrize("script", SCRIPTS)
def test_recorded_script_draws(
    script: str, folders: dict[str, Path], plain: dict[str, Image.Image], tmp_path: Path
) -> None:
    """An image of the right size; another than the plain one exactly when the script has a method."""
    name = script.split("_", maxsplit=1)[0]
    image = drawn(script, folders[name], tmp_path)
    assert image.size == (64, 64)
    same = ImageChops.difference(image, plain[name]).getbbox() is None
    assert same == script.endswith("_plain.py")


@pytest.mark.parametrize("methods", ["deepcache", "tgate", "deepcache-tgate"])
@pytest.mark.parametrize("name", BUILDERS)
def test_both_runtimes_draw_the_same(name: str, methods: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Where the packages are right, the two runtimes' scripts agree to the pixel."""
    hasten, upstream = (drawn(f"{name}_{r}_{methods}.py", folders[name], tmp_path) for r in ("hasten", "upstream"))
    assert ImageChops.difference(hasten, upstream).getbbox() is None
