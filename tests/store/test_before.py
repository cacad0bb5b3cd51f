"""What an earlier version left behind still works: its store, and the scripts that it made.

tests/recorded/before holds a store in which ``tune`` answered once on a tiny pipeline, and a script of emoji-sd.
"""

from __future__ import annotations

import gzip
import json
import runpy
import sys
from pathlib import Path

import optuna
import pytest
from PIL import Image

from hasten.limits import Limits
from hasten.plan import Plan
from hasten.records import Trial
from hasten.script.claim import read_claim
from hasten.store import Store
from hasten.task import Setting

BEFORE = Path(__file__).parent.parent / "recorded" / "before"
PLAN = Plan.parse("deepcache(cache_branch_id=0,cache_interval=4)")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The old store, opened for the setting and the identity that it was made for."""
    path = tmp_path / "trials.db"
    path.write_bytes(gzip.decompress((BEFORE / "trials.db.gz").read_bytes()))
    summary = optuna.get_all_study_summaries(f"sqlite:///{path}")[0]
    setting = Setting(**json.loads(summary.user_attrs["setting"]))
    return Store(str(path), setting, json.loads(summary.user_attrs["identity"]))


def test_the_trials_of_an_old_store_are_found(store: Store) -> None:
    with store:
        searched, held_out = store.find(PLAN), store.find(PLAN, "held-out")
        assert searched is not None and searched.status == "ok"
        assert held_out is not None and held_out.losses["ssim"].samples == 8
        assert held_out.latency is not None and held_out.speedup == held_out.latency.speedup > 1


def test_trials_are_written_as_they_were(store: Store) -> None:
    """The records of trials change in Python; their JSON text in a store stays the same."""
    with store:
        studies = optuna.get_all_study_names(store.url)
        kept = [t.user_attrs for s in studies for t in optuna.load_study(study_name=s, storage=store.url).trials]
        assert len(kept) > 1
        for attributes in kept:
            trial = Trial.model_validate_json(attributes["trial"])
            assert trial.model_dump_json() == attributes["trial"]
            assert trial.plan == Plan.parse(attributes["plan"]) and str(trial.plan) == attributes["plan"]


def test_what_an_old_store_knows_beside_its_trials_is_found(store: Store) -> None:
    with store:
        bound, equal = store.bound(("deepcache",), Limits({"ssim": 1.0}), 8), store.equal_time(PLAN)
        assert bound is not None and bound.plan == PLAN and bound.status == "met"
        assert equal is not None and equal.steps == 1
        assert store.profile() is not None


def test_an_old_script_draws_and_its_claim_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, image = BEFORE / "script.py", tmp_path / "image.png"
    claim = read_claim(str(script))
    assert (claim.model, claim.plan, claim.speedup) == (
        "emoji-sd",
        "deepcache(cache_branch_id=0,cache_interval=3)",
        2.1,
    )
    monkeypatch.setattr(sys, "argv", [str(script), "--steps", "3", "--output", str(image)])
    runpy.run_path(str(script), run_name="__main__")
    with Image.open(image) as drawn:
        assert drawn.size == (64, 64)
