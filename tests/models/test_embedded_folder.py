"""Folders of embedded models that are put together of files of the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hasten.models import ASSETS, _embedded, embedded_folder, find_model, load_pipeline, model_at

SHARED = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    embedded_folder.cache_clear()
    yield
    embedded_folder.cache_clear()


def test_a_complete_folder_of_the_package_is_taken_as_it_is() -> None:
    assert embedded_folder("emoji-sd") == ASSETS / "emoji-sd"
    assert embedded_folder("emoji-clip") == ASSETS / "emoji-clip"


def test_borrowed_files_are_those_of_the_lender(tmp_path: Path) -> None:
    folder = embedded_folder("emoji-sdxl")
    assert folder.is_relative_to(tmp_path / "cache")
    assert (folder / SHARED).samefile(ASSETS / "emoji-sd" / SHARED)
    assert (folder / "unet" / "config.json").samefile(ASSETS / "emoji-sdxl" / "unet" / "config.json")
    assert not (folder / "borrowed.json").exists()


def test_another_process_finds_the_same_folder() -> None:
    folder = embedded_folder("emoji-sdxl")
    embedded_folder.cache_clear()
    assert embedded_folder("emoji-sdxl") == folder
    assert [f.name for f in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_folder_is_made_anew() -> None:
    folder = embedded_folder("emoji-sdxl")
    (folder / SHARED).unlink()
    embedded_folder.cache_clear()
    assert (embedded_folder("emoji-sdxl") / SHARED).is_file()


def test_another_installation_has_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = embedded_folder("emoji-sdxl")
    (tmp_path / "assets").symlink_to(ASSETS)
    monkeypatch.setattr(_embedded, "ASSETS", tmp_path / "assets")
    embedded_folder.cache_clear()
    assert embedded_folder("emoji-sdxl") != before


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    folder = embedded_folder("emoji-sdxl")
    assert (folder / SHARED).is_file()
    assert model_at(str(folder)) == find_model("emoji-sdxl")[1]


def test_where_links_are_not_allowed_the_files_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refused)
    folder = embedded_folder("emoji-sdxl")
    assert not (folder / SHARED).is_symlink()
    assert (folder / SHARED).read_bytes() == (ASSETS / "emoji-sd" / SHARED).read_bytes()


@pytest.mark.parametrize("name", ["emoji-sdxl", "emoji-pixart", "emoji-sd3"])
def test_the_pipeline_is_that_of_its_name(name: str) -> None:
    pipe = load_pipeline(name)
    assert model_at(pipe.config._name_or_path) == find_model(name)[1]
