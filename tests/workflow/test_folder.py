"""The folder of an answer: what it shows is what its answer names, and damage is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.support.examples import ENVIRONMENT, answer_of, model_of, plan_of, setting_of, trial_of

from hasten.errors import InputError
from hasten.plan import Plan
from hasten.report import ReportImages
from hasten.workflow.folder import Context, answer_key, check_folder, conclude, keep, rewrite_report

PROMPTS = ("a red dog", "a blue cat")


def pictures(value: float) -> list[torch.Tensor]:
    return [torch.full((3, 8, 8), value) for _ in PROMPTS]


def written(folder: Path, plan: Plan, images: ReportImages) -> str:
    """The page of a request whose answer is the plan."""
    answer = answer_of(plan)
    context = Context(
        setting_of(model_of("emoji-sd")), ENVIRONMENT, "", None, tuple(images.prompts), answer_key(answer)
    )
    keep(folder, (trial_of(plan),), context, images)
    conclude(folder, answer)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """The folder of a request with images of three kinds."""
    images = ReportImages(PROMPTS, pictures(0.1), pictures(0.5), pictures(0.9))
    assert written(tmp_path, plan_of("deepcache"), images).count("<img") == 6
    return tmp_path


def test_a_later_answer_shows_its_own_images_alone(used: Path) -> None:
    page = written(used, Plan(), ReportImages(PROMPTS, pictures(0.2)))
    assert page.count("<img") == 2
    rewrite_report(used)
    assert (used / "report.html").read_text(encoding="utf-8") == page
    assert sorted(path.name for path in (used / "images").iterdir()) == ["reference-0.png", "reference-1.png"]
    assert written(used, Plan(), ReportImages()).count("<img") == 0


def test_images_of_a_folder_that_does_not_name_them_are_those_that_there_are(used: Path) -> None:
    context = json.loads((used / "context.json").read_text())
    del context["images"], context["answer"]
    (used / "context.json").write_text(json.dumps(context))
    rewrite_report(used)
    assert (used / "report.html").read_text(encoding="utf-8").count("<img") == 6


def test_files_of_two_requests_are_not_mixed(used: Path) -> None:
    """The second was killed before its answer was there."""
    context = Context(setting_of(model_of("emoji-sd")), ENVIRONMENT, "", None, (), answer_key(answer_of(Plan())))
    keep(used, (), context, ReportImages())
    with pytest.raises(InputError, match="of two requests"):
        rewrite_report(used)


@pytest.mark.parametrize("file", ["answer.json", "context.json", "trials.json", "images/accelerated-1.png"])
@pytest.mark.parametrize("content", [b"", b"\x80\xff", b"5", b"[5]", b"{}", b'"x"', b"[" * 10_000, b"9" * 10_000])
def test_damage_is_told_and_leaves_the_page(used: Path, file: str, content: bytes) -> None:
    page = (used / "report.html").read_bytes()
    (used / file).write_bytes(content)
    with pytest.raises(InputError, match=r"damaged|cannot be read"):
        rewrite_report(used)
    assert (used / "report.html").read_bytes() == page


def test_half_an_image_is_damage(used: Path) -> None:
    path = used / "images" / "reference-0.png"
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(InputError, match=r"damaged: reference-0\.png"):
        rewrite_report(used)


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "a\udcff"])
def test_an_impossible_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        check_folder(tmp_path / name)
