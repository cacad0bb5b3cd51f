"""Pipelines from folders, and what is said of folders that are none."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from tests.support.marks import rarely

from hasten.errors import InputError, UnknownNameError
from hasten.metrics import find_scorer
from hasten.metrics._dino import find_dino
from hasten.models import FAMILIES, check_source, family_of, load_pipeline, source_at, variant_of
from hasten.schedulers import find_scheduler
from hasten.task import Task
from hasten.testing.generating import latents
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd, tiny_sd3, tiny_sdxl
from hasten.workflow.opening import model_of, task_of
from hasten.workflow.place import Place


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-sd")
    tiny_sd().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def test_a_folder_is_loaded_as_it_was_saved(saved: Path) -> None:
    pipe = load_pipeline(str(saved))
    assert type(pipe) is StableDiffusionPipeline
    for a, b in zip(pipe.unet.parameters(), tiny_sd().unet.parameters(), strict=True):
        assert torch.equal(a, b)
    assert type(pipe.scheduler).__name__ == "DDIMScheduler"
    assert pipe._progress_bar_config["disable"]


def test_scheduler_and_dtype(saved: Path) -> None:
    pipe = load_pipeline(str(saved), find_scheduler("DPM-Solver++"), dtype="bfloat16")
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert pipe.scheduler.config.beta_schedule == "scaled_linear"
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.bfloat16


def test_a_safety_checker_is_not_loaded(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load_pipeline(str(folder)).safety_checker is None


@pytest.mark.parametrize(
    "model", [*(pytest.param(f"emoji-{n}", marks=rarely()) for n in ("sd", "sdxl", "pixart")), "emoji-sd3"]
)
def test_a_first_loading_prints_nothing_and_other_warnings_pass(model: str) -> None:
    """In a fresh process: the libraries give their advice once."""
    code = (
        "import logging\n"
        "from hasten.metrics import load_scorer\n"
        "from hasten.models import load_pipeline, quiet_loading\n"
        f"load_pipeline({model!r})\n"
        "load_scorer('emoji-clip')\n"
        "with quiet_loading():\n"
        "    logging.getLogger('transformers.utils.import_utils').warning('a weight is missing')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["[transformers] a weight is missing"]


def test_loading_shows_no_bars_and_leaves_them_on(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers.utils import logging

    load_pipeline(str(saved))
    assert "%|" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()


def test_families_by_class() -> None:
    class Mine(StableDiffusionPipeline):
        pass

    sd, sdxl = tiny_sd(), tiny_sdxl()
    assert family_of(sd) is FAMILIES.get("stable_diffusion")
    assert family_of(sdxl) is FAMILIES.get("stable_diffusion_xl")
    assert family_of(tiny_pixart()) is FAMILIES.get("pixart_sigma")
    assert family_of(Mine(**sd.components, requires_safety_checker=False)) is FAMILIES.get("stable_diffusion")
    assert family_of(DDPMPipeline(sd.unet, sd.scheduler)) is None


def test_no_pipeline_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model_index\.json.*save_pretrained"):
        load_pipeline(str(tmp_path))


@pytest.mark.parametrize("part", ["unet", "tokenizer", "scheduler"])
def test_a_missing_part(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=f"lacks {part}"):
        load_pipeline(str(folder))


@pytest.mark.parametrize(
    "file", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json", "text_encoder/model.safetensors"]
)
def test_a_missing_file(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        load_pipeline(str(folder))


def test_a_broken_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        load_pipeline(str(folder))


@pytest.mark.parametrize("text", ["[]", "[1]", '{"_class_name": "NoSuchPipeline"}', "{}"])
def test_an_index_of_no_pipeline(folder: Path, text: str) -> None:
    (folder / "model_index.json").write_text(text)
    with pytest.raises(InputError, match=r"model_index|diffusers does not have"):
        load_pipeline(str(folder))


@pytest.mark.parametrize("dtype", ["float8", "int8", "", "Tensor"])
def test_dtypes_that_cannot_be(saved: Path, dtype: str) -> None:
    with pytest.raises(InputError, match="allowed are float32, float16, bfloat16"):
        load_pipeline(str(saved), dtype=dtype)


@pytest.mark.parametrize("device", ["banana", "cuda:99", ""])
def test_devices_that_cannot_be(saved: Path, device: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        load_pipeline(str(saved), device=device)


def test_names_and_paths_of_nothing() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'SD1\.5'"):
        load_pipeline("SD1.55")
    with pytest.raises(InputError, match=r"No model folder at './nothing'"):
        load_pipeline("./nothing")
    with pytest.raises(InputError, match="No model folder"):
        load_pipeline("/nothing/at/all")


def test_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be fetched from the hub.*give its folder"):
        load_pipeline("SD1.5")


def as_variant(folder: Path, variant: str, parts: tuple[str, ...]) -> None:
    """Renames the weights as ``save_pretrained(variant=…)`` does."""
    for part in parts:
        for path in (folder / part).glob("*.safetensors"):
            path.rename(path.with_suffix(f".{variant}.safetensors"))


@pytest.mark.parametrize("parts", [("unet", "vae", "text_encoder"), ("unet",)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_folder_that_has_only_a_variants_files_is_loaded(
    folder: Path, saved: Path, parts: tuple[str, ...], dtype: str
) -> None:
    as_variant(folder, "fp16", parts)
    assert variant_of(str(folder)) == "fp16"
    pipe, usual = load_pipeline(str(folder), dtype=dtype), load_pipeline(str(saved), dtype=dtype)
    for part in ("unet", "vae", "text_encoder"):
        pairs = zip(getattr(pipe, part).parameters(), getattr(usual, part).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_the_usual_files_go_before_those_of_a_variant(folder: Path) -> None:
    shutil.copy(
        folder / "unet" / "diffusion_pytorch_model.safetensors",
        folder / "unet" / "diffusion_pytorch_model.fp16.safetensors",
    )
    assert variant_of(str(folder)) is None
    as_variant(folder, "bf16", ("vae",))
    assert variant_of(str(folder)) == "bf16"


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        (["model.safetensors"], None),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], None),
        (["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"], "fp16"),
        (["model-00001-of-00002.fp16.safetensors", "model-00002-of-00002.fp16.safetensors"], "fp16"),
        (["model.fp16.safetensors", "model.ema.safetensors"], "fp16"),
        (["model.non_ema.safetensors", "model.ema.safetensors"], "ema"),
        ([], None),
    ],
)
def test_which_variant_a_folder_has(tmp_path: Path, names: list[str], variant: str | None) -> None:
    (tmp_path / "unet").mkdir()
    for name in names:
        (tmp_path / "unet" / name).touch()
    assert variant_of(str(tmp_path)) == variant
    assert variant_of("organisation/model") is None


@pytest.mark.parametrize("name", ["./my.safetensors", "sd15.safetensors", "/models/x.ckpt", "flux.gguf"])
def test_a_single_file_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(InputError, match=r"single file of weights.*from_single_file\(.*save_pretrained") as caught:
        load_pipeline(name)
    assert repr(name) in str(caught.value)
    task = Task(model=name, scheduler="DDIM", steps=4)
    with pytest.raises(InputError, match="single file of weights"):
        model_of(task, Place())


@pytest.mark.parametrize(
    "words",
    ['Make "sd15.ckpt" 2x faster with DeepCache', "让 ./my/sdxl.safetensors 快2倍", "make flux.gguf 2x faster"],
)
def test_a_sentence_that_names_a_single_file_is_told_so(words: str) -> None:
    with pytest.raises(InputError, match="single file of weights"):
        task_of(words)


def change_weights(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


NETWORKS = [
    ("unet", "diffusion_pytorch_model", "conv_out.bias"),
    ("vae", "diffusion_pytorch_model", "decoder.conv_out.bias"),
    ("text_encoder", "model", "text_model.encoder.layers.1.mlp.fc1.bias"),
]


@pytest.mark.parametrize(("part", "file", "tensor"), NETWORKS)
def test_a_part_that_lacks_weights_is_refused(folder: Path, part: str, file: str, tensor: str) -> None:
    path = folder / part / f"{file}.safetensors"
    found = next(name for name in load_file(path) if tensor.endswith(name) or name.endswith(tensor))
    change_weights(path, lambda weights: weights.pop(found))
    with pytest.raises(InputError, match=rf"{part}' lack 1 of .*{re.escape(found)}.*again"):
        load_pipeline(str(folder))


@pytest.mark.parametrize(("part", "file", "tensor"), NETWORKS)
def test_a_part_that_has_weights_too_many_is_refused(folder: Path, part: str, file: str, tensor: str) -> None:
    path = folder / part / f"{file}.safetensors"
    strange = next(iter(load_file(path))).partition(".")[0] + ".strange.weight"
    change_weights(path, lambda weights: weights.update({strange: torch.zeros(1)}))
    with pytest.raises(InputError, match=rf"{part}' hold, without a place for 1 of .*strange"):
        load_pipeline(str(folder))


def test_weights_that_a_class_leaves_out_are_not_missed(folder: Path) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    first = next(name for name in load_file(path) if name.endswith("position_embedding.weight"))
    numbers = first.replace("position_embedding.weight", "position_ids")
    change_weights(path, lambda weights: weights.update({numbers: torch.arange(4)}))
    assert load_pipeline(str(folder)).text_encoder is not None


@pytest.mark.parametrize("make", [tiny_sd, tiny_sdxl, tiny_pixart, tiny_sd3, tiny_flux])
def test_pipelines_as_they_are_saved_lack_nothing(make: Callable[[], Any], tmp_path: Path) -> None:
    """Tied weights, such as those of a T5, are saved once."""
    make().save_pretrained(tmp_path)
    assert type(load_pipeline(str(tmp_path))).__name__ == type(make()).__name__


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "scheduler"])
@pytest.mark.parametrize("damage", ["half", "empty", "garbage"])
def test_damaged_files_are_told(folder: Path, part: str, damage: str) -> None:
    (path,) = (p for p in (folder / part).iterdir() if part == "scheduler" or p.suffix == ".safetensors")
    content = path.read_bytes()
    path.write_bytes({"half": content[: len(content) // 2], "empty": b"", "garbage": b"\x80\xff" * 99}[damage])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_pipeline(str(folder))


@pytest.mark.parametrize("name", ["utils", "DDIMScheduler", "DiffusionPipeline", "__name__", "no such", ""])
def test_a_class_that_is_no_pipeline(folder: Path, name: str) -> None:
    index_with(folder, _class_name=name)
    with pytest.raises(InputError, match=r"diffusers does not have|cannot be loaded"):
        load_pipeline(str(folder))


def index_with(folder: Path, **changes: object) -> None:
    index = json.loads((folder / "model_index.json").read_text()) | changes
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({"_class_name": ["pipeline", "Mine"]}, "pipeline.py"),
        ({"unet": ["mine", "Mine"]}, "unet/mine.py"),
        ({"unet": ["diffusers", "Mine"]}, "unet/diffusers.py"),
        ({"scheduler": ["diffusers", "DDIMScheduler"]}, "scheduler/diffusers.py"),
        ({"tokenizer": ["json.tool", "main"]}, "mine.py"),
        ({"../outside": ["diffusers", "UNet2DConditionModel"]}, "mine.py"),
    ],
)
def test_code_of_a_folder_never_runs(folder: Path, changes: dict[str, object], file: str) -> None:
    (folder / file).write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Mine: pass\n")
    index_with(folder, **changes)
    with pytest.raises(InputError, match=r"never run"):
        load_pipeline(str(folder))
    assert not (folder / "ran").exists()


def test_an_active_safety_checker_is_left_out(folder: Path) -> None:
    """Its files need not be there: it is never loaded."""
    index_with(folder, safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert load_pipeline(str(folder)).safety_checker is None


def test_sd3_that_was_saved_without_t5(tmp_path: Path) -> None:
    """Its index has ``[null, null]`` for the encoder and the tokenizer."""
    pipe = tiny_sd3()
    pipe.text_encoder_3 = pipe.tokenizer_3 = None
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    pipe.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["text_encoder_3"] == [None, None]
    check_source(str(tmp_path))
    loaded = load_pipeline(str(tmp_path))
    assert loaded.text_encoder_3 is None and loaded.tokenizer_3 is None
    given = {"height": 64, "width": 64, "max_sequence_length": 16}
    image = latents(loaded, **given)
    assert torch.isfinite(image).all()
    assert torch.equal(image, latents(pipe, **given))


def test_numbers_that_another_scheduler_cannot_take_are_told(folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"solver_order": "many", "solver_type": "none"}))
    load_pipeline(str(folder))
    with pytest.raises(InputError, match=r"DPM-Solver\+\+ cannot be made of .* Name another"):
        load_pipeline(str(folder), find_scheduler("DPM-Solver++"))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("openai/clip-vit-base-patch32", True),
        ("a/b.c_d-1", True),
        ("_private_/x", True),
        ("clip", False),
        ("a/b/c", False),
        ("/absolute/folder", False),
        ("./b", False),
        ("~/b", False),
        ("-a/b", False),
        ("a/b.", False),
        ("a--b/c", False),
        ("a b/c", False),
        ("a/" + "b" * 96, True),
        ("a/" + "b" * 97, False),
    ],
)
def test_the_same_names_are_hub_ids_for_models_scorers_and_dino(name: str, is_one: bool) -> None:
    assert source_at(name) == (name if is_one else None)
    with nullcontext() if is_one else pytest.raises(InputError):
        assert find_scorer(name) == name
    with nullcontext() if is_one else pytest.raises(InputError):
        find_dino(name)


def test_a_folder_comes_before_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert source_at("a/b") == "a/b" and source_at(str(tmp_path / "a")) == str(tmp_path / "a")
