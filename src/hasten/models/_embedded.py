"""The folders of the models that ship with hasten, each complete in diffusers layout.

The models have one VAE and one text model in common. The package holds these files once, which keeps a wheel
below 100 MB, and ``borrowed.json`` in a model's folder tells where they are. diffusers takes no weights from
outside of a model's folder, so a complete folder is made of links when it is first asked for.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from hasten.files import user_cache

ASSETS = Path(__file__).parent.parent / "assets"
BORROWED = "borrowed.json"


@lru_cache
def embedded_folder(name: str) -> Path:
    """Returns the folder of a model or scorer that ships with hasten, from which ``from_pretrained`` loads it.

    Args:
        name: a folder of ``hasten/assets``, such as ``emoji-sdxl``.

    The folder is that of the package where it is complete. Else it lies in the user's cache or, where that cannot
    be written, in a temporary folder that goes when the process ends.

    Example:
        >>> pipe = StableDiffusionXLPipeline.from_pretrained(embedded_folder("emoji-sdxl"))
    """
    shipped = ASSETS / name
    if not (shipped / BORROWED).is_file():
        return shipped
    files = _files(shipped)
    place = user_cache("models") / f"{name}-{_stamp(files)}"
    if _complete(place, files):
        return place
    try:
        return _made(place, files)
    except OSError:
        aside = Path(tempfile.mkdtemp(prefix="hasten-"))
        atexit.register(shutil.rmtree, aside, ignore_errors=True)
        return _made(aside / name, files)


def _files(shipped: Path) -> dict[str, Path]:
    """Returns every file of the complete folder, by its path in there, with the file of the package that it is."""
    borrowed: Mapping[str, str] = json.loads((shipped / BORROWED).read_text(encoding="utf-8"))
    own = (file for file in sorted(shipped.rglob("*")) if file.is_file() and file.name != BORROWED)
    return {
        **{file.relative_to(shipped).as_posix(): file for file in own},
        **{name: ASSETS / source for name, source in borrowed.items()},
    }


def _stamp(files: Mapping[str, Path]) -> str:
    """Returns a text that differs between two installations, and between two versions of the weights."""
    stats = ((name, str(file), file.stat()) for name, file in files.items())
    found = [(name, file, stat.st_size, stat.st_mtime_ns) for name, file, stat in stats]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def _complete(place: Path, files: Mapping[str, Path]) -> bool:
    return all((place / name).is_file() for name in files)


def _made(place: Path, files: Mapping[str, Path]) -> Path:
    """Makes the folder beside its place and renames it, so that no process sees half of it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        for name, file in files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            _link(aside / name, file)
        if place.exists() and not _complete(place, files):
            shutil.rmtree(place)
        if not place.exists():
            aside.rename(place)
    except OSError:
        if not _complete(place, files):  # another process may have made it meanwhile
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return place


def _link(link: Path, file: Path) -> None:
    """Links a file, or copies it where the system or the user's rights allow no links."""
    try:
        link.symlink_to(file)
    except (OSError, NotImplementedError):
        shutil.copyfile(file, link)
