"""Scripts of a real (tiny, random) pipeline are run and verified in processes of their own."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from tests.support.examples import ENVIRONMENT, answer_of, plan_of, setting_of, trial_of
from tests.support.marks import rarely
from tests.support.tiny_clip import tiny_clip

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.files import save
from hasten.measure.bench import Bench
from hasten.measure.pipeline import image_seed
from hasten.measure.prompts import load
from hasten.measure.threads import using_threads
from hasten.models.base import Model
from hasten.plan import Plan
from hasten.records import Split
from hasten.script._drawing import Reference, Script
from hasten.script._measure import FIRST, PLACES, Sitting, _losses, place_of
from hasten.script.claim import Runtime, model_source, read_claim
from hasten.script.verify import Verification, judge, verify
from hasten.script.write import render_script
from hasten.task import Target
from hasten.testing.pipelines import tiny_sd

STEPS = 4
PLAN = plan_of("deepcache", "tome")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model in a folder whose name needs care."""
    folder = tmp_path_factory.mktemp("a 'model' folder")
    tiny_sd().save_pretrained(folder / "tiny")
    prompts = folder / "prompts.txt"
    prompts.write_text("a cat\na dog\na red fox\na blue bird\n", encoding="utf-8")
    return Model("tiny", str(folder / "tiny"), 64, 7.5, "none", str(prompts))


def claimed(plan: Plan, speedup: float = 0.01, limit: float = 1.0) -> Answer:
    """An answer that names SSIM alone, so that no scorer is needed."""
    answer = answer_of(plan, "tiny", "DDIM", STEPS)
    task = answer.task.model_copy(update={"max_loss": {"ssim": limit}, "target": None})
    if not plan:
        return answer.model_copy(update={"task": task})
    trial = trial_of(plan, speedup, steps=STEPS)
    trial = trial.model_copy(update={"losses": {"ssim": trial.losses["ssim"]}})
    return answer.model_copy(update={"task": task, "confirmed": trial})


def written(
    folder: Path,
    model: Model,
    answer: Answer,
    runtime: Runtime = "hasten",
    name: str = "script.py",
    environment: dict[str, str] = ENVIRONMENT,
) -> Path:
    source = render_script(
        answer,
        setting_of(model, steps=STEPS),
        model,
        runtime=runtime,
        command="hasten run …",
        environment=environment,
        request="A tiny pipeline",
    )
    return save(source, folder / name)


def run(script: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """The script as the program it is, in this process: torch is not loaded anew each time."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    runpy.run_path(str(script), run_name="__main__")


CASES: list[tuple[Runtime, tuple[str, ...]]] = [
    ("hasten", ()),
    ("hasten", ("deepcache", "tgate", "tome")),
    ("upstream", ("deepcache",)),
    ("upstream", ("tgate",)),
    ("upstream", ("deepcache", "tgate")),
    ("upstream", ("deepcache", "tome")),
]


OFTEN = [("hasten", ("deepcache", "tgate", "tome")), ("upstream", ("deepcache", "tgate"))]
"""The cases that ``make test`` runs: of each runtime the one with most in it."""


@pytest.mark.parametrize(("runtime", "methods"), [pytest.param(*c, marks=rarely(c not in OFTEN)) for c in CASES])
def test_script_draws_and_measures_itself(
    runtime: Runtime,
    methods: tuple[str, ...],
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The drawn image repeats with its seed, and the benchmark gives its raw times."""
    plan = Plan.of(
        {m: {**plan_of(m).parameters[m], **({"gate_step": 2} if m == "tgate" else {})} for m in methods}
    )
    script = written(tmp_path, model, claimed(plan), runtime)
    for name in ("a.png", "b.png"):
        run(script, monkeypatch, "--prompt", "a cat", "--seed", 3, "--output", tmp_path / name)
    assert Image.open(tmp_path / "a.png").size == (64, 64)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    capsys.readouterr()
    run(script, monkeypatch, "--benchmark", "--pairs", 2, "--steps", 3, "--json")
    result = json.loads(capsys.readouterr().out)
    assert len(result["times_s"]) == 2
    assert ("speedup" in result) == bool(methods)


@pytest.mark.full  # test_cli.py runs one so
def test_script_runs_by_itself(model: Model, tmp_path: Path) -> None:
    """In a process of its own, from a path with spaces, with a folder given as the model."""
    script = written(tmp_path, model, claimed(PLAN), name="with space.py")
    command = [
        sys.executable,
        str(script),
        "--model",
        model.source,
        "--steps",
        "3",
        "--output",
        str(tmp_path / "x.png"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "x.png").size == (64, 64)


@pytest.mark.parametrize("runtime", ["hasten", pytest.param("upstream", marks=rarely())])
def test_a_true_claim_is_confirmed(runtime: Runtime, model: Model, tmp_path: Path) -> None:
    script = written(tmp_path, model, claimed(PLAN), runtime, "with space.py")
    found = verify(script, samples=4, pairs=2)
    assert (found.outcome, found.holds, found.reasons) == ("confirmed", True, ())
    assert found.trial.plan == PLAN
    assert found.trial.split == "held-out" and FIRST <= found.trial.offset < FIRST + PLACES
    assert 0 < found.measured_losses["ssim"] < 1
    assert found.trial.latency is not None and len(found.trial.latency.times_s) >= 4
    assert found.trial.losses["ssim"].samples == len(found.trial.latency.times_s), "each timed image is scored"
    assert any(note.startswith("claimed with cpu AMD EPYC 7B13") for note in found.notes)


@pytest.mark.parametrize(("prompts", "split", "least"), [(None, "held-out", FIRST), ("general", "fresh", 0)])
def test_the_images_are_ones_that_no_search_confirms_with(
    model: Model, tmp_path: Path, prompts: str | None, split: Split, least: int
) -> None:
    """Same prompts, same first noise, same plan: bit for bit what ``Bench`` draws at those places."""
    model = replace(model, prompts=prompts or model.prompts)
    script = written(tmp_path, model, claimed(PLAN))
    claim = read_claim(script)
    pipe = StableDiffusionPipeline.from_pretrained(model.source, use_safetensors=True)
    bench = Bench.of(pipe, steps=STEPS, height=64, width=64, guidance_scale=7.5, prompts=model.prompts)
    sitting = Sitting.of(claim, 5)
    assert (sitting.split, sitting.first) == (split, least + 5)
    sides = (Reference(claim, model_source(script, claim)), Script(claim, str(script)))
    for plan, side in zip((Plan(), PLAN), sides, strict=True):
        side.open()
        side.accelerate()
        for number in range(2):
            index = sitting.first + number
            assert sitting.prompt(number) == bench.pipeline.prompt(split, index)
            (drawn,) = side.draw(sitting.prompt(number), image_seed(claim.seed, split, index))
            ours = torch.from_numpy(np.array(drawn)).permute(2, 0, 1).float() / 255
            assert torch.equal(ours, bench.images(plan, split=split, indices=[index])[0])


def test_both_sides_compute_with_the_threads_of_the_claim(model: Model, tmp_path: Path) -> None:
    measured = {**ENVIRONMENT, "threads": "1", "torch_threads": "2"}
    script = written(tmp_path, model, claimed(PLAN), environment=measured)
    claim = read_claim(script)
    assert claim.threads == 1
    for side in (Reference(claim, model_source(script, claim)), Script(claim, str(script))):
        with using_threads(2):
            side.open()
            assert torch.get_num_threads() == 1


def test_the_images_cannot_be_known_before(model: Model, tmp_path: Path) -> None:
    """Chosen at random, and again where a place is named."""
    for name in ("general", "emoji"):
        prompts = load(name)
        assert len({place_of(prompts) for _ in range(20)}) == 20
        assert place_of(prompts, 7) == place_of(prompts, 7) == ("fresh", 7)
    sitting = Sitting.of(read_claim(written(tmp_path, replace(model, prompts="emoji"), claimed(PLAN))), 60)
    fresh = load("emoji").fresh
    assert [sitting.prompt(number) for number in range(8)] == [*fresh[60:], *fresh][:8]


def test_clip_score_is_that_of_the_claimed_scorer(model: Model, tmp_path: Path) -> None:
    """The losses are those of ``Bench`` with the same scorer, limits and all."""
    scorer = str(tiny_clip(tmp_path / "clip"))
    named = replace(model, scorer=scorer)
    claim = read_claim(written(tmp_path, named, answer_of(PLAN, "tiny", "DDIM", STEPS)))
    pipe = StableDiffusionPipeline.from_pretrained(model.source, use_safetensors=True)
    bench = Bench.of(
        pipe, steps=STEPS, height=64, width=64, guidance_scale=7.5, prompts=model.prompts, scorer=scorer
    )
    sitting = Sitting.of(claim, 3)
    where = {"split": sitting.split, "indices": range(sitting.first, sitting.first + 2)}
    images = [
        [(one * 255).round().byte() for one in bench.images(plan, **where)]  # type: ignore[arg-type]
        for plan in (Plan(), PLAN)
    ]
    expected = bench.quality(
        PLAN, split="held-out", samples=2, offset=sitting.first, metrics=("clip_score", "ssim")
    )
    found = _losses(sitting, *images)
    assert found.keys() == expected.keys()
    for name, loss in found.items():
        assert loss.scores == pytest.approx(expected[name].scores, abs=1e-5)
        assert loss.loss == pytest.approx(expected[name].loss, abs=1e-5)


def test_false_claims_are_named(model: Model, tmp_path: Path) -> None:
    answer = claimed(PLAN, speedup=900.0, limit=1e-9)
    loss = answer.confirmed.losses["ssim"].model_copy(update={"loss": 0.0})
    trial = answer.confirmed.model_copy(update={"losses": {"ssim": loss}})
    script = written(tmp_path, model, answer.model_copy(update={"confirmed": trial}))
    found = verify(script, samples=2, pairs=1)
    assert (found.outcome, found.holds) == ("refuted", False)
    assert "95% of the claimed 900.00x" in found.reasons[0]
    assert "the loss on ssim" in found.reasons[1]


@pytest.mark.full  # a plan's claim is confirmed above
def test_plain_script_holds(model: Model, tmp_path: Path) -> None:
    found = verify(written(tmp_path, model, claimed(Plan())), samples=2, pairs=1)
    assert found.outcome == "confirmed" and found.measured_speedup is None


@pytest.mark.full  # false claims are named above
def test_another_scheduler_than_claimed_is_noticed(model: Model, tmp_path: Path) -> None:
    script = written(tmp_path, model, claimed(PLAN))
    text = script.read_text(encoding="utf-8").replace("DDIMScheduler", "EulerDiscreteScheduler")
    script.write_text(text, encoding="utf-8")
    found = verify(script, samples=2, pairs=1)
    assert found.reasons == ("its scheduler is Euler, the claim says DDIM",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("CLAIM = {", "CLAIMS = {", "no CLAIM"),
        ('    "steps": 4', '    "steps": -4', "steps"),
        ('    "seed": 0', '    "seed": print()', "no plain literal"),
        ('    "seed": 0,\n', "", "seed"),
        ("def generate(", "def generated(", "no generate"),
        ("def accelerate(", "def hurry(", "accelerate"),
        ("def load_pipeline(", "def load_pipeline(:", "not a Python program"),
    ],
)
def test_tampered_script_is_a_clear_error(old: str, new: str, words: str, model: Model, tmp_path: Path) -> None:
    script = written(tmp_path, model, claimed(PLAN))
    text = script.read_text(encoding="utf-8")
    assert old in text
    script.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        verify(script, samples=2, pairs=1)


def test_no_script_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no script"):
        verify(tmp_path / "missing.py")
    with pytest.raises(InputError, match="it is a folder"):
        verify(tmp_path)
    other = tmp_path / "other.py"
    other.write_text("print('hello')\n", encoding="utf-8")
    with pytest.raises(InputError, match="not a script of hasten"):
        verify(other)


def test_judging_follows_target_claim_and_limit(model: Model, tmp_path: Path) -> None:
    """Confirmed is what the whole interval is on the right side of, refuted what it is on the wrong side of; else
    nothing is decided, and each open part is noted."""
    answer = answer_of(PLAN, "tiny", "DDIM", STEPS)
    script = written(tmp_path, model, answer)
    claim = read_claim(script)
    assert claim.target is not None and claim.target.speedup == 2.0

    def judged(speedup: float, loss: float) -> tuple[str, int, int]:
        """Outcome, reasons and notes; the intervals are 2% of the speedup and 0.005 of the loss on either side."""
        trial = trial_of(PLAN, speedup, steps=STEPS)
        found = trial.losses["clip_score"].model_copy(
            update={"loss": loss, "interval": (loss - 0.005, loss + 0.005)}
        )
        verdict = judge("s", claim, trial.model_copy(update={"losses": {"clip_score": found}}))
        assert verdict.holds == (not verdict.reasons)
        return verdict.outcome, len(verdict.reasons), len(verdict.notes)

    assert judged(2.1, 0.0149) == ("confirmed", 0, 0)
    assert judged(2.1, 0.0151) == ("not refuted", 0, 1), "the interval of the loss touches the limit"
    assert judged(2.1, 0.0240) == ("not refuted", 0, 1), "over the limit, by less than its interval"
    assert judged(2.1, 0.0251) == ("refuted", 1, 0)
    assert judged(2.03, 0.0149) == ("not refuted", 0, 2), "the interval touches 2.0x, and 95% of 2.1x"
    assert judged(1.98, 0.0249) == ("not refuted", 0, 3)
    assert judged(1.96, 0.025) == ("refuted", 2, 1), "under 2.0x by all its interval, not so under 95% of 2.1x"
    assert judged(1.9, 0.0149) == ("refuted", 2, 0)


def test_images_of_something_else_are_refuted(model: Model, tmp_path: Path) -> None:
    """A good CLIP score of other pictures: the fidelity that was claimed is missed by far."""
    claim = read_claim(written(tmp_path, model, answer_of(PLAN, "tiny", "DDIM", STEPS)))
    assert "ssim" not in claim.limits and claim.losses["ssim"] == pytest.approx(0.09)

    def judged(ssim: float) -> Verification:
        trial = trial_of(PLAN, 2.1, steps=STEPS)
        lost = trial.losses["ssim"].model_copy(update={"loss": ssim, "interval": (ssim - 0.01, ssim + 0.01)})
        return judge("s", claim, trial.model_copy(update={"losses": {**trial.losses, "ssim": lost}}))

    assert judged(0.2).reasons == ()
    (reason,) = judged(0.6).reasons
    assert reason.startswith("its images are others: the loss on ssim is 0.6000")


def test_a_latency_is_judged_by_the_interval_of_the_speedup(model: Model, tmp_path: Path) -> None:
    answer = answer_of(PLAN, "tiny", "DDIM", STEPS)
    asked = Target(latency_s=0.25)  # of a baseline of 0.5 s
    answer = answer.model_copy(update={"task": answer.task.model_copy(update={"target": asked})})
    claim = read_claim(written(tmp_path, model, answer)).model_copy(update={"speedup": None})
    assert judge("s", claim, trial_of(PLAN, 1.97, steps=STEPS)).outcome == "not refuted"
    assert judge("s", claim, trial_of(PLAN, 2.05, steps=STEPS)).outcome == "confirmed"
    (reason,) = judge("s", claim, trial_of(PLAN, 1.95, steps=STEPS)).reasons
    assert "what the requested 0.25 s an image takes" in reason
