"""Links between the pages of docs/, the README and their neighbours lead to a file, and to a heading in it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import hasten.api
import hasten.cli

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "tables" / "README.md",
    ROOT / "training" / "README.md",
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def prose(page: Path) -> str:
    """A page without its blocks of code, in which nothing is a link or a heading."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """What GitHub and MyST make of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for target, anchor in LINK.findall(prose(page)):
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(f"{target}#{anchor}" if anchor else target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_exists(page: Path) -> None:
    assert not broken(page)


def test_a_link_to_nowhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, with `code`\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#a-heading-with-code) [b](there.md#none) [c](gone.md) [d](https://example.org/x#y)\n",
        encoding="utf-8",
    )
    assert broken(page) == ["there.md#none", "gone.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_of_the_code_that_a_page_names_exist(page: Path) -> None:
    """``search/run.py`` is of the package, ``benchmarks/promise.py`` of the repository."""
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|json))`", prose(page)))
    places = (ROOT, ROOT / "src" / "hasten", ROOT / "training", page.parent)
    to_write = ("/NAME.py", "/NAME.json")
    elsewhere = {name for name in named if name.startswith("generated/") or name.endswith(to_write)}
    assert not [name for name in named - elsewhere if not any((place / name).exists() for place in places)]


def test_what_the_reference_shows_of_the_api_can_be_had_from_there() -> None:
    pages = (
        (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in ("python.md", "records.md")
    )
    named = {name for page in pages for name in re.findall(r"autoapi(?:class|function):: [\w.]+\.(\w+)", page)}
    assert named == set(hasten.api.__all__) and all(getattr(hasten.api, name) for name in named)


def test_the_page_of_commands_names_them_all() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    group: Any = typer.main.get_command(hasten.cli.app)
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(group.commands)


def test_the_page_of_the_architecture_names_every_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \|", page.partition("## The packages")[2], re.MULTILINE)
    packages = {init.parent.name for init in (ROOT / "src" / "hasten").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+)`", " ".join(rows)))


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "results").glob("[!i]*.md")), ids=lambda page: page.stem)
def test_a_notebook_begins_with_its_conclusion_and_ends_with_its_commands(page: Path) -> None:
    title, conclusion = page.read_text(encoding="utf-8").split("\n\n", 2)[:2]
    assert title.startswith("# ") and conclusion.startswith("**")
    assert re.findall(r"^## (.+)$", prose(page), re.MULTILINE)[-1] == "Commands and environment"
    assert "```sh" in page.read_text(encoding="utf-8").partition("## Commands and environment")[2]
