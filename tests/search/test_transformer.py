"""A pipeline without a UNet: it is measured as any other, and what needs a UNet says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.support.tiny_clip import tiny_clip

from hasten.errors import UnsupportedError
from hasten.measure.bench import Bench
from hasten.methods import METHODS
from hasten.predict.cost_model import CostModel
from hasten.predict.speeds import Learned, predictor_of
from hasten.search import SearchOptions, run_search
from hasten.store import Store
from hasten.task import Target, Task
from hasten.testing.pipelines import tiny_pixart

OPTIONS = SearchOptions(storage="memory", strategy="guided", num_samples=8, pairs=1)
PLAIN = Task(model="tiny", scheduler="DPM-Solver++", steps=2)
TARGET = Target(speedup=1.5)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    words = folder / "words.txt"
    words.write_text("\n".join(f"{colour} {thing}" for colour in ("red", "blue") for thing in ("dog", "bus")))
    scorer = str(tiny_clip(folder / "clip"))
    return Bench.of(tiny_pixart(), steps=2, height=64, width=64, scorer=scorer, prompts=words)


def test_the_plain_pipeline_is_measured(bench: Bench) -> None:
    found = run_search(bench, PLAIN, OPTIONS)
    assert found.status == "met" and found.confirmed is not None
    assert found.confirmed.latency is not None and found.confirmed.latency.baseline_s > 0


UNETS_ALONE = ("deepcache", "schedule")


@pytest.mark.parametrize("name", UNETS_ALONE)
def test_a_method_says_what_it_needs(bench: Bench, name: str) -> None:
    task = PLAIN.model_copy(update={"methods": (name,), "target": TARGET})
    with pytest.raises(UnsupportedError, match=f"{METHODS.get(name).title} .*PixArtSigmaPipeline has no unet"):
        run_search(bench, task, OPTIONS)


@pytest.mark.full  # test_cost_model.py predicts PixArt's
def test_methods_of_a_transformer_are_searched_by_the_profile_of_its_blocks(bench: Bench) -> None:
    task = PLAIN.model_copy(update={"methods": ("tgate", "tome"), "target": Target(speedup=1.01)})
    options = replace(OPTIONS, max_trials=2)
    found = run_search(bench, task, options)
    assert found.trials and all(trial.latency for trial in found.trials if trial.plan)
    with Store("memory", bench.setting, bench.identity) as store:
        assert isinstance(predictor_of(bench, store), CostModel)
        profile = store.profile()
    assert profile is not None and profile.guided
    assert set(profile.by_block()) == {"", "transformer_blocks.0", "transformer_blocks.1"}
    kinds = {"block", "self_attention", "cross_attention", "feed_forward"}
    assert set(profile.by_block()["transformer_blocks.0"]) == kinds


def test_speeds_are_learned_where_blocks_cannot_be_profiled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A denoiser that is compiled, for one."""
    monkeypatch.setattr(bench.pipe, "transformer", torch.compile(bench.pipe.transformer))
    with Store("memory", bench.setting, bench.identity) as store:
        assert isinstance(predictor_of(bench, store), Learned)
        assert store.profile() is None
