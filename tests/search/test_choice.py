"""Which plans a search tries where the request excludes methods, names alternatives, or asks for no loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.landscape import Landscape

from hasten.errors import InputError
from hasten.methods import METHODS
from hasten.search import SearchOptions, SearchResult, run_search
from hasten.task import Task
from hasten.testing.pipelines import tiny_flux, tiny_sd


def _searched(storage: str = "memory", make: Callable[[], Any] = tiny_sd, **said: object) -> SearchResult:
    known = {"model": "landscape", "scheduler": "DDIM", "steps": 4, "methods": None}
    task = Task.model_validate({**known, **said})
    bench = Landscape(lambda plan: 1.5 + 0.01 * len(str(plan)), lambda plan: 0.001, pipe=make())
    return run_search(bench, task, SearchOptions(storage=storage, strategy="random", max_trials=30))


def _methods(found: SearchResult) -> set[str]:
    return {method for trial in found.trials for method in trial.plan.methods}


def test_excluded_methods_are_never_tried() -> None:
    assert "tome" in _methods(_searched())
    assert "tome" not in _methods(_searched(excluded=("tome",)))


def test_each_of_alternatives_is_tried_alone() -> None:
    found = _searched(methods=("deepcache", "tome"), one_of=True)
    assert {trial.plan.methods for trial in found.trials} == {("deepcache",), ("tome",)}


def test_alternatives_keep_their_own_parameters() -> None:
    found = _searched(methods=("deepcache", "tome"), one_of=True, parameters={"deepcache": {"cache_interval": 3}})
    parameters = [trial.plan.parameters for trial in found.trials]
    assert {p["deepcache"]["cache_interval"] for p in parameters if "deepcache" in p} == {3}
    assert any("tome" in p for p in parameters)


def test_alternatives_may_clash() -> None:
    found = _searched(methods=("deepcache", "schedule"), one_of=True)
    assert "deepcache" in _methods(found)


def test_a_lossless_request_tries_exact_methods_only() -> None:
    exact = {m.name for m in METHODS.all() if m.exact}
    assert exact == {"attention_backend", "channels_last", "compile", "cuda_graph"}
    assert set() < _methods(_searched(lossless=True)) <= exact


def test_a_lossless_request_tries_no_kernel_that_quantises() -> None:
    def kernels(**changes: Any) -> set[Any]:
        plans = (trial.plan.parameters for trial in _searched(make=tiny_flux, **changes).trials)
        return {p["attention_backend"]["backend"] for p in plans if "attention_backend" in p}

    assert "sage" in kernels(methods=("attention_backend",))
    assert "flash" in (exact := kernels(lossless=True)) and "sage" not in exact


def test_a_bound_of_some_methods_is_not_that_of_all(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    some = _searched(storage, excluded=("tome", "tgate"))
    assert some.complete or some.trials
    assert "tome" in _methods(_searched(storage))


def test_parameters_of_an_excluded_method_are_refused() -> None:
    with pytest.raises(InputError, match="excludes tome and gives parameters"):
        _searched(excluded=("tome",), parameters={"tome": {"ratio": 0.5}})
