"""``hasten tasks`` as a user meets it: real processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.commands import Done, each

from hasten.language.parse import parse
from hasten.store.seeds.tasks_file import read_requests

KEY = "('emoji-sd', 'DDIMScheduler', '20', 'upbound_speedup', 0.02, ['deepcache'])"
NONE = KEY.replace("deepcache", "tome")
PLAN = {"cache_interval": 3, "cache_branch_id": 0, "speedup": 2.2, "score_loss": 0.01}
CODE = (
    "import sys; from hasten.cli import main\n"
    "try: main()\n"
    "finally: assert not {'torch', 'diffusers', 'transformers', 'optuna'} & set(sys.modules), 'heavy'"
)


@pytest.fixture
def folder(tmp_path: Path, own_surroundings: None) -> Path:
    return filled(tmp_path)


def filled(folder: Path) -> Path:
    bounds = {
        KEY: {"max_speedup": 2.5, "complete": True},
        NONE: {"max_speedup": None, "status": "failed", "reason": "no memory"},
    }
    (folder / "speedup_bounds.json").write_text(json.dumps(bounds), encoding="utf-8")
    params = {KEY.replace("'upbound_speedup'", "2.0"): PLAN, "broken": PLAN}
    (folder / "search_params.json").write_text(json.dumps(params), encoding="utf-8")
    return folder


def completed(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words, with the files that are meant unless they name others."""
    here = {"--bounds": "speedup_bounds.json", "--out": "tasks.json"}
    given = () if "--params" in words else here.items()
    return (*words, *(part for flag, name in given if flag not in words for part in (flag, name)))


def tasks(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "utf8", "-c", CODE, "tasks", *completed(words)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=folder, check=False)


def test_sentences_go_to_standard_output_and_to_the_file(folder: Path) -> None:
    done = tasks(folder)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 3, done.stderr
    assert [parse(line).target.speedup for line in lines] == [2.2, 2.35, 2.42]  # type: ignore[union-attr]
    assert f"left out: {NONE}: failed: no memory" in done.stderr
    requests = read_requests(folder / "tasks.json")
    assert [r.text for r in requests] == lines and not any(r.fault for r in requests)
    assert [r.task for r in requests] == [parse(line) for line in lines]
    known = {"label": "0.9", "ratio": 0.9, "bound": 2.5, "bound_interval": None}
    assert requests[1].labels.items() >= {**known, "bound_complete": True, "reference_plan": None}.items()
    assert re.fullmatch(r"[a-z0-9.+_-]+_2\.35x_[0-9a-f]{6}", requests[1].labels["id"])


def test_a_difficulty_triple_in_chinese_as_one_document(folder: Path) -> None:
    done = tasks(folder, "--difficulty", "--language", "zh", "--out", "hard/mine.json", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [(t["label"], t["task"]["target"]["speedup"]) for t in document["tasks"]] == [
        ("easy", 2.05),
        ("medium", 2.35),
        ("hard", 2.65),
    ]
    assert document["left_out"] == [{"entry": NONE, "reason": "failed: no memory"}]
    assert [t["request"] for t in document["tasks"]] == [r.text for r in read_requests(folder / document["out"])]
    assert "倍" in document["tasks"][0]["request"]


def test_stored_plans_make_requests_and_damaged_entries_are_named(folder: Path) -> None:
    done = tasks(folder, "--params", "search_params.json")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    assert "not used: search_params.json line 1, entry 'broken'" in done.stderr


def test_the_bounds_may_be_named_without_their_flag(folder: Path) -> None:
    words = ("tasks", "speedup_bounds.json", "--out", "mine.json")
    done = each({"": (folder, words)})[""]
    assert done.code == 0 and len(done.output.splitlines()) == 3, done.errors
    assert len(read_requests(folder / "mine.json")) == 3


BAD = {
    "bounds twice": (["mine.json"], "The bounds are mine.json and --bounds speedup_bounds.json: give one of them"),
    "no bounds": (["--bounds", "nowhere.json"], "nowhere.json does not exist"),
    "no numbers": (["--ratios", "0.8;0.9"], "--ratios is '0.8;0.9': write numbers with commas between"),
    "same ratio": (["--ratios", "0.8,0.80"], "The ratios are 0.8, 0.8: name each once"),
    "language": (["--language", "fr"], "The language is 'fr'"),
    "both files": (["--params", "search_params.json", "--bounds", "speedup_bounds.json"], "do not go together"),
    "both shares": (["--ratios", "0.8", "--difficulty"], "--ratios and --difficulty do not go together"),
    "nothing left": (["--ratios", "900"], "No request can be made of speedup_bounds.json"),
    "unwritable": (["--out", "/dev/null/tasks.json"], "cannot be written"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """One process tries every bad command."""
    tried = {case: ("tasks", *completed(tuple(words))) for case, (words, _) in BAD.items()}
    return each({case: (filled(tmp_path_factory.mktemp("here")), words) for case, words in tried.items()})


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(refused: dict[str, Done], case: str) -> None:
    done = refused[case]
    assert done.code == 2 and BAD[case][1] in done.errors and "Traceback" not in done.errors
    assert done.output == "" and done.after == done.before
