"""What other people's packages add to hasten by entry points, and how one that cannot be used is told."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.support.packages import CONTRAST, HOUSE, REST, installed

from hasten.entry_points import EntryPointWarning
from hasten.errors import UnknownNameError
from hasten.methods import METHODS, check_plan
from hasten.metrics import METRICS
from hasten.models import FAMILIES, find_model
from hasten.plan import Plan

OWN = METHODS.names()
ALL = """
[console_scripts]
rest = rest:main

[hasten.methods]
rest = house_rest

[hasten.metrics]
contrast = house_contrast:METRIC

[hasten.models]
house = house_models
"""
MODULES = {"house_rest": REST, "house_contrast": CONTRAST, "house_models": HOUSE}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path. Modules that are imported from it are forgotten again."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("house_rest", "house_contrast", "house_models", "odd"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    return tmp_path


def test_what_a_package_adds_is_known_beside_hastens_own(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", EntryPointWarning)
        installed(path, "hasten-house", MODULES, ALL)
        assert METHODS.names() == (*OWN, "rest") and METHODS.all()[-1].title == "Rest"
        assert METHODS.canonical("REST") == "rest" and METHODS.get("Rest") is METHODS.get("rest")
        assert check_plan(Plan.parse("rest+tome(ratio=0.5)"), steps=4).parameters["rest"] == {"rest_interval": 2}
        assert METRICS.get("contrast").scale == "0 to 0.5"
        assert "house" in FAMILIES.names() and find_model("the model of the house")[1].name == "House-SD"
        assert METHODS.requirement("rest") == "hasten-house>=1.2" and METHODS.requirement("tome") is None


def test_without_the_package_it_is_unknown(path: Path) -> None:
    assert METHODS.names() == OWN
    with pytest.raises(UnknownNameError, match="rest"):
        METHODS.get("rest")


def test_of_a_package_that_is_found_twice_the_first_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer, older = path / "newer", path / "older"
    for folder in (older, newer):
        folder.mkdir()
        monkeypatch.syspath_prepend(folder)
        installed(folder, "hasten-house", MODULES, ALL, "2.0" if folder == newer else "1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error", EntryPointWarning)
        assert METHODS.requirement("rest") == "hasten-house>=2.0"


def renamed(name: str, old: str = "", new: str = "") -> str:
    return REST.replace('name = "rest"', f'name = "{name}"').replace(old or "\0", new)


BROKEN: dict[str, tuple[str, str, str]] = {
    "no such module": ("odd = nowhere_to_be_found", "", "No module named 'nowhere_to_be_found'"),
    "no such attribute": ("odd = odd:NOTHING", renamed("odd"), "has no attribute 'NOTHING'"),
    "no METHOD in the module": ("odd = odd", "", "has no attribute 'METHOD'"),
    "it raises": ("odd = odd", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "it is no Python": ("odd = odd", "def", "SyntaxError: "),
    "it ends the process": ("odd = odd", "raise SystemExit('bye')", "SystemExit: bye"),
    "something else": (
        "odd = odd",
        "METHOD = 3",
        "it is a int, and not an instance of hasten.methods.base.Method",
    ),
    "the class": ("odd = odd:Rest", renamed("odd"), "it is the class Rest, and not an instance of"),
    "abstract": ("odd = odd", "from hasten.methods.base import Method\nMETHOD = Method()", "TypeError: "),
    "another name": ("odd = odd", REST, "it calls itself 'rest'"),
    "no title": ("odd = odd", renamed("odd", '    title = "Rest"\n'), "it has no title"),
    "no title and paper": (
        "odd = odd",
        renamed("odd", '    title = "Rest"\n').replace('    paper = "none"\n', ""),
        "it has no title, no paper",
    ),
    "a name that no plan can write": ("Odd-one = odd", renamed("Odd-one"), "a name is lower-case letters"),
    "a name of hasten's": ("tome = odd", renamed("tome"), "'tome' means hasten's tome already"),
    "a spelling of hasten's": (
        "odd = odd",
        renamed("odd", '"resting steps"', '"Deep-Cache"'),
        "'Deep-Cache' means hasten's deepcache already",
    ),
    "spellings that are none": (
        "odd = odd",
        renamed("odd", '("resting steps",)', "3"),
        "its names cannot be read",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_used_is_a_warning_and_the_rest_goes_on(path: Path, case: str) -> None:
    """It names the package, the entry and the reason, once; hasten's own and another package's stay."""
    point, source, reason = BROKEN[case]
    installed(path, "hasten-odd", {"odd": source}, f"[hasten.methods]\n{point}\n", "0.3")
    installed(path, "hasten-house", MODULES, ALL)
    with pytest.warns(EntryPointWarning) as told:
        assert METHODS.names() == (*OWN, "rest")
    (message,) = [str(w.message) for w in told]
    assert reason in message and "the package hasten-odd 0.3 is left out" in message
    assert repr(point.split(" = ")[0]) in message and "mend the package, or uninstall it" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error", EntryPointWarning)
        assert len(METHODS.all()) == len(OWN) + 1


def test_of_two_packages_with_one_name_the_second_is_told(path: Path) -> None:
    installed(path, "hasten-house", MODULES, ALL)
    installed(path, "hasten-shed", {"odd": REST}, "[hasten.methods]\nrest = odd\n")
    with pytest.warns(EntryPointWarning, match="hasten-shed 1.2 is left out: 'rest' means hasten-house's rest"):
        assert METHODS.requirement("rest") == "hasten-house>=1.2"


def test_a_file_of_entry_points_that_cannot_be_read_is_told(path: Path) -> None:
    installed(path, "hasten-odd", {}, "[hasten.methods]\nno equals sign\n")
    with pytest.warns(EntryPointWarning, match=r"entry_points.txt of the package hasten-odd 1.2 cannot be read"):
        assert METHODS.names() == OWN


@pytest.mark.parametrize("lacking", ["METADATA", "Name"])
def test_a_package_without_a_name_is_told_by_its_folder(path: Path, lacking: str) -> None:
    installed(path, "hasten-odd", {}, "[hasten.methods]\nodd = odd\n")
    metadata = path / "hasten_odd-1.2.dist-info" / "METADATA"
    metadata.unlink() if lacking == "METADATA" else metadata.write_text("Metadata-Version: 2.1\n")
    with pytest.warns(EntryPointWarning) as told:
        assert METHODS.names() == OWN
    assert str(path) in str(told[0].message)


def test_a_broken_metric_or_family_is_told_in_the_same_way(path: Path) -> None:
    points = "[hasten.metrics]\nodd = nowhere_to_be_found\n[hasten.models]\nodd = odd\n"
    clash: Any = HOUSE.replace('"house"', '"odd"').replace('"the model of the house"', '"SD1.5"')
    installed(path, "hasten-odd", {"odd": clash}, points)
    with pytest.warns(EntryPointWarning, match="The metric 'odd'"):
        assert "odd" not in METRICS.names()
    with pytest.warns(
        EntryPointWarning, match=r"The model family 'odd' .*'SD1.5' means hasten's stable_diffusion"
    ):
        assert find_model("SD1.5")[0].name == "stable_diffusion"
