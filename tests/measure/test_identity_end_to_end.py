"""Two calls of ``tune`` on one storage: what was changed between them is measured, nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from diffusers import DDIMScheduler
from torch.nn.utils import parametrize

import hasten
from hasten.cli.checks import _store
from hasten.measure.bench import Bench
from hasten.measure.pipeline import Pipeline
from hasten.store import Store
from hasten.store.database import open_database, storage_url
from hasten.store.trials import outdated
from hasten.testing.pipelines import tiny_sd

STEPS = 2


@pytest.fixture(scope="module")
def tune(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], hasten.Answer]:
    folder = tmp_path_factory.mktemp("identity")
    prompts = folder / "prompts.txt"
    prompts.write_text("a cat\na dog\na red fox\na blue bird\n", encoding="utf-8")

    def call(pipe: Any) -> hasten.Answer:
        how: dict[str, Any] = {"storage": str(folder / "trials.db"), "prompts": str(prompts), "max_trials": 1}
        how |= {"height": 64, "width": 64, "num_samples": 8, "pairs": 1, "search_pairs": 1}
        return hasten.tune(
            pipe, steps=STEPS, methods=["deepcache"], max_loss={"ssim": 1.0}, strategy="traversal", **how
        )

    return call


@contextmanager
def counted() -> Iterator[list[object]]:
    """The calls of a pipeline by hasten meanwhile."""
    calls: list[object] = []
    original = Pipeline._call

    def noted(*given: Any, **more: Any) -> Any:
        calls.append(given)
        return original(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "_call", noted)
        yield calls


class Scaled(torch.nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (1 + self.scale)


def scale(pipe: Any, value: float) -> None:
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_q
    layer.parametrizations.weight[0].scale = value


CHANGES: dict[str, Callable[[Any], object]] = {
    "another VAE": lambda pipe: setattr(pipe, "vae", tiny_sd(1).vae),
    "v-prediction": lambda pipe: setattr(
        pipe, "scheduler", DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="v_prediction")
    ),
    "an adapter at another scale": lambda pipe: scale(pipe, 0.0),
}


@pytest.mark.full  # what counts as a change is in test_identity.py
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_two_calls_is_drawn_anew(change: str, tune: Callable[[Any], hasten.Answer]) -> None:
    pipe = tiny_sd()
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_q
    parametrize.register_parametrization(layer, "weight", Scaled(1.0), unsafe=True)
    tune(pipe)
    CHANGES[change](pipe)
    with counted() as first:
        answer = tune(pipe)
    with counted() as again:
        known = tune(pipe)
    assert first and not again
    assert known.confirmed == answer.confirmed  # None in both where a busy machine showed no speedup


def test_trials_of_the_narrow_identity_are_kept_counted_and_not_used(
    tune: Callable[[Any], hasten.Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tiny_sd()
    answer = tune(pipe)
    assert answer.confirmed is not None
    bench = Bench.of(pipe, steps=STEPS, height=64, width=64, scorer="nowhere/clip")
    old = {"environment": "a", "weights": "b", "scorer": "c", "prompts": "d", "seed": "0"}
    storage = str(tmp_path / "old.db")
    with Store(storage, bench.setting, old) as store:
        store.add(answer.confirmed)
    assert outdated(open_database(storage)) == (1, 1)
    monkeypatch.setattr("hasten.store.database.default_storage", lambda: storage_url(storage))
    assert ", 1 trials; 1 of them are kept and not used: an earlier hasten told" in _store()
    with Store(storage, bench.setting, bench.identity) as store:
        plan = answer.confirmed.plan
        assert store.find(plan, "held-out") is None
        store.add(answer.confirmed)
    assert outdated(open_database(storage)) == (1, 2)
    names = optuna.get_all_study_names(storage_url(storage))
    kept = [optuna.load_study(study_name=name, storage=storage_url(storage)) for name in names]
    assert sorted(len(study.trials) for study in kept) == [1, 1]
    assert [json.loads(s.user_attrs["identity"]) == old for s in kept].count(True) == 1
