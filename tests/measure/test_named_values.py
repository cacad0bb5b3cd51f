"""What a processor of the user's own reads elsewhere is part of a pipeline's identity: wherever it lies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from hasten.measure.identity.pipelines import digest_of, look_at
from hasten.measure.identity.values import Walk
from hasten.testing.pipelines import tiny_sd

SETTINGS = {"gain": 1.0, "nested": [{"of": 2.0}]}
OBJECT = SimpleNamespace(gain=1.0)
TENSOR = torch.ones(3)
VARIABLE = "GAIN_OF_A_PROCESSOR"


class Kept:
    gain: ClassVar[dict[str, float]] = {"deep": 1.0}


class Reads:
    """An attention processor that finds its gain with a function."""

    def __init__(self, gain: Callable[[], float]) -> None:
        self.gain = gain

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        return AttnProcessor2_0()(attn, hidden_states, *args, **more) * self.gain()


def of_a_module() -> float:
    import settings_of_a_processor  # type: ignore[import-not-found]

    return float(settings_of_a_processor.GAIN)


def by_another() -> float:
    return OBJECT.gain * 2


def change_module() -> None:
    sys.modules["settings_of_a_processor"].GAIN = 3.0  # type: ignore[attr-defined]


READ: dict[str, tuple[Callable[[], float], Callable[[], object]]] = {
    "a dict": (lambda: SETTINGS["gain"], lambda: SETTINGS.update(gain=2.0)),  # type: ignore[return-value, dict-item]
    "what is deep in a dict": (
        lambda: SETTINGS["nested"][0]["of"],  # type: ignore[index]
        lambda: SETTINGS["nested"][0].update(of=3.0),  # type: ignore[index]
    ),
    "an object": (lambda: OBJECT.gain, lambda: setattr(OBJECT, "gain", 2.5)),
    "an object, by a function that is called": (by_another, lambda: setattr(OBJECT, "gain", 2.7)),
    "a tensor": (lambda: float(TENSOR.sum()), lambda: TENSOR.mul_(2)),
    "a class": (lambda: Kept.gain["deep"], lambda: Kept.gain.update(deep=2.0)),
    "a module of one's own": (of_a_module, change_module),
    "the environment, by a name of one's own": (
        lambda: float(os.environ.get(VARIABLE, "1")),
        lambda: os.environ.__setitem__(VARIABLE, "2"),
    ),
    "the environment": (
        lambda: float(os.environ["GAIN_OF_A_PROCESSOR"]),
        lambda: os.environ.__setitem__(VARIABLE, "2"),
    ),
}


@pytest.fixture(autouse=True)
def module_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings_of_a_processor.py").write_text("GAIN = 1.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "settings_of_a_processor", raising=False)
    monkeypatch.setenv(VARIABLE, "1.5")


def identity(pipe: Any) -> str:
    looked = look_at(pipe)
    assert not looked.unknown
    return digest_of(looked.facts)


@pytest.mark.parametrize("name", READ)
def test_what_a_processor_reads_elsewhere_counts(name: str) -> None:
    gain, change = READ[name]
    gain()
    pipe = tiny_sd()
    pipe.unet.set_attn_processor(Reads(gain))
    before = identity(pipe)
    assert identity(pipe) == before
    change()
    assert identity(pipe) != before


def test_a_callback_of_each_call_counts_with_what_it_reads() -> None:
    def texts() -> dict[str, str]:
        walk = Walk()
        return {"call": walk.text({"callback": by_another}, "call"), **walk.beyond()}

    before = texts()
    assert texts() == before
    OBJECT.gain += 1
    assert texts() != before
