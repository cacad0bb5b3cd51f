"""Claims of files that were not made by hasten: read without a traceback, whatever they hold."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hasten.errors import InputError
from hasten.script.claim import needed_of, read_claim

FUNCTIONS = "def load_pipeline(): pass\ndef generate(): pass\n"
HOSTILE = {
    "brackets": "CLAIM = " + "[" * 500,
    "signs": "CLAIM = " + "-" * 50_000 + "1",
    "dictionaries": "CLAIM = " + "{'a': " * 90 + "1" + "}" * 90,
    "sums": "CLAIM = " + "1+" * 20_000 + "1",
    "attributes": "x = a" + ".b" * 50_000,
    "calls": "x = a" + "()" * 20_000,
    "digits": "CLAIM = {'plan': " + "9" * 5000 + "}",
    "no key": "CLAIM = {[]: 1}",
    "NUL": "CLAIM = '\0'",
    "too long": "CLAIM = {}\n" + "#" * (1 << 20),
    "plan": "CLAIM = {'plan': '" + "a(" * 400 + "'}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_claims_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(FUNCTIONS + HOSTILE[name])
    began = time.monotonic()
    with pytest.raises(InputError):
        read_claim(path)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["signs", "attributes", "calls"])
def test_imports_of_hostile_scripts_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(HOSTILE[name])
    with pytest.raises(InputError, match="nested too deeply"):
        needed_of(tmp_path / "script.py", "diffusers")


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "."])
def test_names_that_are_no_script(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no script|cannot be read"):
        read_claim(tmp_path / name)
