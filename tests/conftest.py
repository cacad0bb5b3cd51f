"""Options of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-recorded",
        action="store_true",
        help="write the files of tests/recorded anew instead of comparing",
    )
