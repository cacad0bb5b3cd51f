"""The training: its data are the captions' scenes, its stages run and resume, its weights draw what is asked."""

from __future__ import annotations

import importlib
import random
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests.support.marks import rarely

from hasten.metrics import METRICS, load_scorer
from hasten.scenes import THINGS, caption, parse

FOLDER = Path(__file__).parent.parent / "training"
NAMES = [file.stem for file in FOLDER.glob("*.py")]
STAGES = {"unet": "emoji-sd", "sdxl": "emoji-sdxl", "pixart": "emoji-pixart", "sd3": "emoji-sd3"}


class Training:
    """The modules of training/, which is no package; each is imported when it is asked for."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def training() -> Iterator[Training]:
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    yield Training()
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares, each of a colour of its own."""
    pixels = (
        np.random.default_rng(0).integers(0, 256, (len(THINGS), 1, 1, 4), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    )
    pixels[..., 3] = 255
    file: Path = tmp_path_factory.mktemp("art") / "art.npz"
    np.savez_compressed(file, art=pixels)
    return file


@pytest.fixture(scope="module")
def scenes(training: Training, art: Path) -> Any:
    return training.data.Scenes(art, "cpu", seed=3)


def test_specs_are_scenes_and_withheld_alike(training: Training, scenes: Any) -> None:
    specs = scenes._any(600)
    made = [training.captions.scene_of(row) for row in specs.tolist()]
    assert [training.captions.spec_of(scene) for scene in made] == specs.tolist()
    assert [scene.withheld for scene in made] == scenes.withheld(specs).tolist()
    assert 0.2 < scenes.withheld(specs).float().mean() < 0.35


def test_a_sample_is_trained_or_withheld_as_asked(scenes: Any) -> None:
    assert not scenes.withheld(scenes.sample(300)).any()
    assert scenes.withheld(scenes.sample(300, withheld=True)).all()


@pytest.mark.parametrize("kind", ["words_of", "t5_tokenizer"])
def test_tokens_are_the_tokenizers(training: Training, scenes: Any, kind: str) -> None:
    models = training.models
    tokenizer = models.words_of(Path("nowhere")) if kind == "words_of" else models.t5_tokenizer()
    specs = scenes.sample(300)
    texts = [caption(training.captions.scene_of(row)) for row in specs.tolist()]
    dropped = torch.arange(300) % 3 == 0
    texts = ["" if drop else text for text, drop in zip(texts, dropped, strict=True)]
    told = tokenizer(texts, padding="max_length", max_length=32, return_tensors="pt").input_ids
    assert torch.equal(training.captions.Words(tokenizer, "cpu").ids(specs, dropped), told)


def test_a_family_is_one_image_with_trained_edits(scenes: Any) -> None:
    specs, chance = scenes.families(64, 4)
    assert scenes._valid(specs).all() and not scenes.withheld(specs).any()
    assert torch.equal(chance[0::4], chance[3::4])
    keys = scenes.key(specs).view(64, 4)
    assert (keys[:, 1:] != keys[:, :1]).float().mean() > 0.98


def test_stripes_are_the_same_in_either_order_of_colours_and_dots_are_not(training: Training, scenes: Any) -> None:
    def key(text: str) -> int:
        return scenes.key(torch.tensor([training.captions.spec_of(parse(text))])).item()

    assert key("a fox on a red and blue striped background") == key("a fox on a blue and red striped background")
    assert key("a fox on a red and blue dotted background") != key("a fox on a blue and red dotted background")


def test_things_are_drawn_where_the_caption_says(training: Training, scenes: Any) -> None:
    spec = torch.tensor([training.captions.spec_of(parse("a fox left of a cow on a blue background"))])
    chance = scenes.chance(1)
    image, without = scenes.draw(spec, chance), scenes.draw(spec, chance, torch.tensor([0]))
    assert image.shape == (1, 3, 128, 128) and image.abs().max() <= 1
    changed = (image != without).any(1)[0].nonzero()
    assert len(changed) > 0 and changed[:, 1].max() < 85
    above = torch.tensor([training.captions.spec_of(parse("a fox above a cow on a blue background"))])
    changed = (scenes.draw(above, chance) != scenes.draw(above, chance, torch.tensor([0]))).any(1)[0].nonzero()
    assert len(changed) > 0 and changed[:, 0].max() < 85


def options(work: Path, **changes: Any) -> Namespace:
    told = {
        "out": work, "steps": 2, "seconds": 0, "until": None, "pause": 0, "batch": 2, "rate": 0, "scenes": 2,
        "channels": 8, "compile": False, "device": "cpu", "precision": torch.float32,
    }  # fmt: skip
    return Namespace(**{**told, **changes})


@pytest.mark.parametrize("stage", [pytest.param(s, marks=rarely(s != "unet")) for s in STAGES])
def test_each_denoiser_trains_on_the_finished_parts_and_draws(
    training: Training, scenes: Any, tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    training.train.STAGES[stage](scenes, options(tmp_path, steps=1, scenes=1))
    assert f"{stage} done at step 1" in capsys.readouterr().out
    pipe = training.assemble.PIPELINES[STAGES[stage]](tmp_path)
    pipe.set_progress_bar_config(disable=True)
    drawn = training.evaluate.draw(pipe, ["a fox on a blue background"], steps=1, guidance=2.0)
    assert drawn.shape == (1, 3, 128, 128) and drawn.isfinite().all()


@pytest.mark.parametrize("name", ["emoji-sdxl", "emoji-sd3"])
def test_denoisers_are_told_what_their_pipelines_make_of_captions(
    training: Training, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.assemble, "made", lambda work, name, average, fresh: fresh().eval())
    texts, nowhere = (
        ["a fox on a blue background", "two cows on a red and gray dotted background"],
        Path("nowhere"),
    )
    pipe = training.assemble.PIPELINES[name](nowhere)
    how = {"max_sequence_length": 32, "prompt_2": None, "prompt_3": None} if name == "emoji-sd3" else {}
    made = pipe.encode_prompt(texts, device="cpu", do_classifier_free_guidance=False, **how)
    ids = training.models.encode(training.models.words_of(nowhere), texts, "cpu")
    states, pooled = training.denoisers.clip_states(training.models.clip_of(nowhere), ids)
    torch.testing.assert_close(made[0][:, :32], torch.cat([states, states], -1))
    torch.testing.assert_close(made[2], torch.cat([pooled, pooled], -1) if name == "emoji-sd3" else pooled)


def test_a_stage_goes_on_from_its_checkpoint(training: Training, tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = training.run.Run("line", {"line": torch.nn.Linear(3, 1)}, options(tmp_path, steps=3), rate=0.1)
    for _ in run.loop():
        run.update(run.modules["line"](torch.ones(4, 3)).square().mean())
    again = training.run.Run("line", {"line": torch.nn.Linear(3, 1)}, options(tmp_path, steps=5), rate=0.1)
    assert again.step == 3
    assert all(torch.equal(a, b) for a, b in zip(again.exact, run.exact, strict=True))
    assert list(again.loop()) == [3, 4]
    with safe_open(tmp_path / "ema" / "line-line.safetensors", "pt") as average:
        assert set(average.keys()) == {"weight", "bias"} and average.get_tensor("bias").dtype == torch.float16


def test_what_a_stretch_made_comes_back_whole_or_not_at_all(training: Training, tmp_path: Path) -> None:
    work, parts, back = (tmp_path / name for name in ("work", "parts", "back"))
    for folder in (work / "ema", parts, back):
        folder.mkdir(parents=True)
    content = np.random.default_rng(0).bytes(training.bring.PART + 1000)
    (work / "ema" / "unet-unet.safetensors").write_bytes(content)
    training.bring.pack(work, parts)
    assert max(file.stat().st_size for file in parts.iterdir()) <= 16 * 2**20
    training.bring.unite(parts, back)
    assert (back / "ema" / "unet-unet.safetensors").read_bytes() == content
    (parts / "part1").write_bytes(b"cut short")
    with pytest.raises(SystemExit, match="bring them again"):
        training.bring.unite(parts, back)


def test_prompt_sets_are_disjoint_scenes_of_trained_and_withheld_combinations(training: Training) -> None:
    sets = training.prompts.sets()
    assert {name: len(texts) for name, texts in sets.items()} == {"search": 128, "held-out": 128, "fresh": 64}
    every = [text for texts in sets.values() for text in texts]
    assert len(set(every)) == 320
    for texts in sets.values():
        assert sum(parse(text).withheld for text in texts) == len(texts) / 4


def test_a_stage_goes_on_from_averaged_weights_alone(training: Training, tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = training.run.Run("line", {"line": torch.nn.Linear(3, 1)}, options(tmp_path, steps=3), rate=0.1)
    for _ in run.loop():
        run.update(run.modules["line"](torch.ones(4, 3)).square().mean())
    (tmp_path / "line.pt").unlink()
    again = training.run.Run("line", {"line": torch.nn.Linear(3, 1)}, options(tmp_path, steps=5), rate=0.1)
    assert again.step == again.warmed_from == 3
    for mine, average in zip(again.exact, run.ema, strict=True):
        torch.testing.assert_close(mine, average, atol=1e-3, rtol=1e-3)


def test_what_models_share_is_left_out_and_said(training: Training, tmp_path: Path) -> None:
    """The folders are those that the package ships, made anew of its own parts."""
    for name in ("emoji-sd", "emoji-sdxl"):
        pipe = training.assemble.PIPELINES[name](Path("nowhere")).to(dtype=torch.float16)
        pipe.save_pretrained(tmp_path / name, safe_serialization=True)
        training.assemble._finish(tmp_path / name)
    training.assemble._share(tmp_path, "emoji-sdxl")
    shipped = training.models.ASSETS / "emoji-sdxl"
    made = {f.relative_to(tmp_path / "emoji-sdxl") for f in (tmp_path / "emoji-sdxl").rglob("*") if f.is_file()}
    assert made == {f.relative_to(shipped) for f in shipped.rglob("*") if f.is_file()}
    assert all((tmp_path / "emoji-sdxl" / f).read_bytes() == (shipped / f).read_bytes() for f in made)


DRAWN = [
    "a pizza on a blue background", "a panda left of a red apple on a yellow and gray dotted background",
    "three bats on a pink background", "a tomato above a duck on a green and purple striped background",
]  # fmt: skip
WRONG = [
    "a pizza on a pink background", "a red apple left of a panda on a yellow and gray dotted background",
    "four bats on a pink background", "a tomato above a duck on a green and purple checkered background",
]  # fmt: skip


@pytest.fixture(scope="module")
def drawn(training: Training) -> torch.Tensor:
    """``DRAWN`` by the finished parts, −1 to 1."""
    pipe = training.assemble.emoji_sd(Path("nowhere"))
    pipe.set_progress_bar_config(disable=True)
    return training.evaluate.draw(pipe, DRAWN, steps=10, guidance=3.0)


@pytest.mark.full  # test_embedded.py draws with the finished models
def test_the_finished_parts_draw_what_the_caption_says(training: Training, drawn: torch.Tensor) -> None:
    reader = training.evaluate.Reader(Path("nowhere"), "cpu")
    others = [caption(training.prompts.scene(random.Random(number))) for number in range(60)]
    cosines = reader.images(drawn) @ reader.texts([*DRAWN, *WRONG, *others]).T
    assert cosines.argmax(1).tolist() == [0, 1, 2, 3]


def test_attributes_are_read_of_drawn_scenes_and_one_wrong_word_is_seen(
    training: Training, drawn: torch.Tensor, tmp_path: Path
) -> None:
    training.assemble._emoji_clip(Path("nowhere"), tmp_path)
    training.assemble._finish(tmp_path)
    metric, scorer, images = METRICS.get("attributes"), load_scorer(str(tmp_path)), (drawn + 1) / 2
    right, wrong = metric.score(images, DRAWN, scorer=scorer), metric.score(images, WRONG, scorer=scorer)
    assert sum(right) / 4 >= 0.9
    assert all(w <= r - 0.2 for r, w in zip(right, wrong, strict=True))
