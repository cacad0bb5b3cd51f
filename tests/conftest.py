"""Options and surroundings of the whole suite."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-recorded",
        action="store_true",
        help="write the files of tests/recorded anew instead of comparing",
    )


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a measurement elsewhere on the machine, or writes into the user's store of trials."""
    own = Path(mkdtemp(dir=tmp_path_factory.getbasetemp()))  # mktemp lists the folders of all tests for a number
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        (own / name.lower()).mkdir()
        monkeypatch.setenv(name, str(own / name.lower()))
