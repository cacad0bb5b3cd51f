"""Networks behind metrics whose files are not whole, or hold something else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.support.tiny_clip import tiny_clip
from tests.support.tiny_dino import tiny_dino

from hasten.errors import InputError
from hasten.metrics import load_scorer
from hasten.metrics._dino import load_dino

NETWORKS = [(tiny_clip, load_scorer), (tiny_dino, load_dino)]
both = pytest.mark.parametrize(("make", "load"), NETWORKS, ids=["clip", "dino"])


class Evil:
    """What a pickle of it does when it is read."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._trace),)


@both
def test_missing_tensors_are_refused(
    make: Callable[[Path], Path], load: Callable[[str], Any], tmp_path: Path
) -> None:
    path = make(tmp_path) / "model.safetensors"
    weights = load_file(path)
    lost = [name for name in weights if "layer" in name and ".1." in name]
    save_file({n: w for n, w in weights.items() if n not in lost}, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=rf"lack {len(lost)} of .*tensors .*Copy or download"):
        load(str(tmp_path))


@both
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("damage", ["half", "garbage", "list"])
def test_damaged_files_are_told(
    make: Callable[[Path], Path], load: Callable[[str], Any], tmp_path: Path, file: str, damage: str
) -> None:
    path = make(tmp_path) / file
    content = path.read_bytes()
    path.write_bytes({"half": content[: len(content) // 2], "garbage": b"\x80\xff" * 99, "list": b"[1]"}[damage])
    with pytest.raises(InputError, match="cannot be loaded"):
        load(str(tmp_path))


@both
def test_what_a_pickle_holds_is_not_run(
    make: Callable[[Path], Path], load: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = make(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"logit_scale": Evil(tmp_path / "ran")}, protocol=2))
    with pytest.raises(InputError, match="cannot be loaded"):
        load(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_head_that_is_not_used_is_no_fault(tmp_path: Path) -> None:
    path = tiny_dino(tmp_path) / "model.safetensors"
    weights = load_file(path)
    save_file({**weights, "classifier.weight": torch.ones(2)}, path, metadata={"format": "pt"})
    assert load_dino(str(tmp_path)).model is not None
