"""What is static is said before a device is waited for, a hub is asked or a model is loaded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten import api
from hasten.errors import InputError, ParameterError, UnknownNameError, UnsupportedError
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd

TOO_EARLY = """
import builtins, json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import hasten.measure.lock, hasten.models, hasten.models._load, hasten.workflow.opening

def early(what):
    def never(*given, **named):
        raise SystemExit(f"too early: {what}")
    return never

for module in (hasten.measure.lock, hasten.workflow.opening):
    module.device_lock = early("a device was waited for")
for module in (hasten.models, hasten.models._load, hasten.workflow.opening):
    module.load_pipeline = early("a model was loaded")
hasten.models._load._hub_index = early("the hub was asked")

from hasten.cli import main

found = {}
for case, words in json.load(sys.stdin).items():
    sys.argv, out, errors, code = ["hasten", *words], StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    found[case] = code, out.getvalue(), errors.getvalue()
print(json.dumps(found))
"""
"""Commands in a process where nothing that comes later may be reached."""

STATIC = {
    "a parameter that there is not": (
        ["compare", "--model", "SDXL", "deepcache(interval=3)"],
        "DeepCache has no parameter 'interval'. It has: cache_interval, cache_branch_id.",
    ),
    "a value out of its range": (["compare", "--model", "SDXL", "tome(ratio=2)"], "ratio is 2"),
    "a step beyond the steps": (
        ["compare", "--model", "SDXL", "--steps", "20", "tgate(gate_step=30)"],
        "gate_step is 30",
    ),
    "plans that clash": (["profile", "--model", "SDXL", "--plan", "deepcache+taylorseer"], "use one of them"),
    "no plan": (["profile", "--model", "SDXL", "--plan", "deepcache("], "is not a plan"),
    "a method that does not fit, by sentence": (
        ["run", "Make FLUX.1-dev 2x faster with DeepCache"],
        "DeepCache cannot be used with FLUX.1-dev: it needs a unet, and FluxPipeline has a transformer.",
    ),
    "a method that does not fit, by flags": (
        ["search", "--model", "SD3", "--methods", "tome"],
        "ToMe cannot be used with SD3",
    ),
    "a plan that does not fit": (
        ["compare", "--model", "FLUX.1-dev", "deepcache"],
        "DeepCache cannot be used with FLUX",
    ),
    "a profile that does not fit": (
        ["profile", "--model", "SD3", "--plan", "deepcache"],
        "DeepCache cannot be used with SD3",
    ),
    "two targets": (
        ["run", "--model", "SDXL", "--speedup", "2", "--latency", "1s"],
        "Two targets are given, a speedup of 2 and a latency of 1 s an image: give one of them.",
    ),
    "a sentence and flags": (["run", "Make SDXL 2x faster", "--steps", "20"], "a sentence and --steps"),
    "nothing to explore": (
        ["explore", "--steps", "20"],
        "There is nothing to explore: give a YAML file of settings",
    ),
    "no request": (["run"], "There is no request."),
    "no model": (["run", "--speedup", "2"], "The request names no model: give --model, or a sentence."),
    "no such device": (
        ["run", "Make SDXL 2x faster", "--device", "cuda:77"],
        "The device 'cuda:77' cannot be used here: ",
    ),
    "no such device to compare on": (
        ["compare", "--model", "SDXL", "deepcache", "--device", "cuda:77"],
        "cuda:77",
    ),
    "no such device to profile on": (["profile", "--model", "SDXL", "--device", "cuda:77"], "cuda:77"),
    "no such dtype": (["run", "Make SDXL 2x faster", "--dtype", "fp64"], "Unknown dtype 'fp64'."),
    "no such prompts": (
        ["run", "Make SDXL 2x faster", "--prompts", "nowhere.txt"],
        "No prompts at 'nowhere.txt'.",
    ),
    "no such scorer": (["run", "Make SDXL 2x faster", "--scorer", "nowhere"], "No scorer 'nowhere'."),
    "no such DINOv2": (
        ["run", "Make SDXL 2x faster with a dinov2 loss below 0.1"],
        "The DINOv2 model '/nowhere/dino' cannot be loaded: there is no such folder. Set HASTEN_DINOV2",
    ),
    "no such runtime": (["run", "Make SDXL 2x faster", "--runtime", "magic"], "Unknown runtime 'magic'."),
    "no package for it": (
        ["run", "Make SDXL 2x faster with the method taylorseer", "--runtime", "upstream"],
        "taylorseer has no upstream package",
    ),
    "an unwritable folder": (["run", "Make SDXL 2x faster", "--out", "/dev/null/x"], "cannot be written"),
    "no time": (["search", "--model", "SDXL", "--max-time", "soon"], "--max-time: 'soon' is no time."),
    "no number of trials": (
        ["search", "--model", "SDXL", "--max-trials", "0"],
        "--max-trials is 0: it must be at least 1.",
    ),
    "no size": (["compare", "--model", "SDXL", "deepcache", "--height", "1001"], "a multiple of 8"),
    "a folder without files": (["search", "--model", "/", "--steps", "4"], "it has no model_index.json"),
    "no scheduler of its kind": (
        ["search", "--model", "SD3", "--sched", "DDIM", "--methods", "any"],
        "trained by flow matching",
    ),
    "a matrix and flags": (["explore", "matrix.yaml", "--models", "SDXL"], "not both"),
    "no method": (["search", "--model", "SDXL", "--methods", "none"], "name at least one, or any"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Exit code, output and errors of each; one process tries them all."""
    here = tmp_path_factory.mktemp("here")
    surroundings = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "CUDA_VISIBLE_DEVICES": "",
        "HASTEN_DINOV2": "/nowhere/dino",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TOO_EARLY)],
        input=json.dumps({case: words for case, (words, _) in STATIC.items()}),
        capture_output=True,
        text=True,
        env=surroundings,
        cwd=here,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(here.iterdir()), "nothing was written"
    found: dict[str, tuple[int, str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", STATIC)
def test_what_is_static_is_said_first(told: dict[str, tuple[int, str, str]], case: str) -> None:
    code, output, errors = told[case]
    assert code == 2, (code, errors)
    assert STATIC[case][1] in errors and "Traceback" not in errors and output == ""


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny_sd()


NONE = "pipe is None: give a diffusers pipeline, such as DiffusionPipeline.from_pretrained(folder) makes."
CALLS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "accelerate nothing": (lambda pipe: hasten.accelerate(None, "deepcache"), InputError, NONE),
    "tune nothing": (lambda pipe: hasten.tune(None, steps=4), InputError, NONE),
    "a class": (lambda pipe: hasten.accelerate(type(pipe), "deepcache"), InputError, "pipe is the class Stable"),
    "a name": (lambda pipe: hasten.tune("SDXL"), InputError, "pipe is a str: give a diffusers pipeline"),
    "no plan": (lambda pipe: hasten.accelerate(pipe, None), InputError, "None is not a plan: give its text"),
    "steps of a plan": (lambda pipe: hasten.accelerate(pipe, "tome", steps="x"), InputError, "steps is 'x'"),
    "gate beyond": (
        lambda pipe: hasten.accelerate(pipe, "tgate(gate_step=30)", steps=20),
        ParameterError,
        "gate_step is 30",
    ),
    "steps": (
        lambda pipe: hasten.tune(pipe, steps="25x"),
        InputError,
        "steps is '25x': it must be a whole number",
    ),
    "method": (lambda pipe: hasten.tune(pipe, methods="deepcash"), UnknownNameError, "Did you mean 'deepcache'?"),
    "methods": (lambda pipe: hasten.tune(pipe, methods=3), InputError, "methods is 3: give names"),
    "no methods": (lambda pipe: hasten.tune(pipe, methods=[]), InputError, "methods is empty"),
    "time": (lambda pipe: hasten.tune(pipe, max_time="soon"), InputError, "max_time: 'soon' is no time."),
    "two targets": (
        lambda pipe: hasten.tune(pipe, speedup=2, latency_s=1),
        InputError,
        "Two targets are given, a speedup of 2 and a latency of 1 s an image: give one of them.",
    ),
    "prompts": (lambda pipe: hasten.tune(pipe, prompts=3), InputError, "prompts is 3: give a list of prompts"),
    "one prompt": (lambda pipe: hasten.tune(pipe, prompts=["a cat"]), InputError, "holds one prompt only"),
    "another device": (
        lambda pipe: hasten.tune(pipe, device="cuda"),
        InputError,
        "device is 'cuda', but the pipeline is on 'cpu', where it is measured: move it with pipe.to('cuda'), or "
        "leave device out.",
    ),
    "another dtype": (
        lambda pipe: hasten.tune(pipe, dtype="float16"),
        InputError,
        "dtype is 'float16', but the pipeline computes in float32",
    ),
    "metric": (lambda pipe: hasten.tune(pipe, max_loss={"clip": 0.1}), UnknownNameError, "clip_score"),
    "limit": (lambda pipe: hasten.tune(pipe, max_loss="much"), InputError, "max_loss is 'much'"),
    "keyword": (lambda pipe: hasten.tune(pipe, max_trial=3), TypeError, "Did you mean 'max_trials'?"),
    "request": (lambda pipe: hasten.run(None), InputError, "The request is None: give a sentence, or a task."),
    "runtime": (lambda pipe: hasten.run("Make SDXL 2x faster", runtime="x"), UnknownNameError, "Unknown runtime"),
    "no such device": (
        lambda pipe: hasten.run("Make emoji-sd 2x faster", device="cuda:77"),
        InputError,
        "The device 'cuda:77' cannot be used here",
    ),
    "matrix": (lambda pipe: hasten.explore(3, out="x"), InputError, "3 is no matrix"),
    "margin": (lambda pipe: hasten.explore({"models": "SDXL"}, out="x", margin=0), InputError, "margin is 0"),
    "number of requests": (
        lambda pipe: hasten.generate(["Make SDXL 2x faster"], out="x", num_samples=1),
        InputError,
        "num_samples is 1: it must be at least 8.",
    ),
    "plans of a model": (
        lambda pipe: api.compare(Task(model="FLUX.1-dev", scheduler="FlowMatchEuler", steps=4), "deepcache"),
        UnsupportedError,
        "DeepCache cannot be used with FLUX.1-dev",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_cannot_be_is_one_sentence(
    pipe: Any, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is waited for, loaded, measured or written."""
    call, kind, part = CALLS[case]
    for name in ("hasten.measure.bench.device_lock", "hasten.workflow.opening.device_lock"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("a device was waited for"))
    monkeypatch.setattr(
        "hasten.workflow.opening.load_pipeline", lambda *_, **__: pytest.fail("a model was loaded")
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=re.escape(part)):
        call(pipe)
    assert not list(tmp_path.iterdir())
