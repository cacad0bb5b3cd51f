"""One small bench for the tests of measuring."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.tiny_clip import tiny_clip

from hasten.measure.bench import Bench
from hasten.metrics import ClipScorer, load_scorer
from hasten.testing.pipelines import tiny_sd


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> ClipScorer:
    return load_scorer(str(tiny_clip(tmp_path_factory.mktemp("clip"))))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short prompts: the tiny tokenizer spells them out."""
    path = tmp_path_factory.mktemp("prompts") / "words.txt"
    path.write_text(
        "\n".join(f"{colour} {thing}" for colour in ("red", "blue") for thing in ("dog", "cat", "bus", "owl"))
    )
    return path


@pytest.fixture
def bench(scorer: ClipScorer, words: Path) -> Bench:
    return Bench.of(tiny_sd(), steps=4, height=64, width=64, scorer=scorer, prompts=words)
