"""Identifies a model that scores images by its files, wherever they are, or by the loaded model itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.measure.identity import modules
from hasten.measure.identity.tensors import checksum
from hasten.measure.identity.values import Walk
from hasten.metrics import ClipScorer, scorer_folder

if TYPE_CHECKING:
    import torch

TOLD = (".json", ".txt", ".model")
WEIGHTS = (".safetensors", ".bin")
"""Endings of weight files. Files of the first ending that a folder has are the ones that are loaded."""


def scorer_digest(scorer: str | ClipScorer) -> str:
    """Returns a digest of the model or, for a name, of its files; the name itself where the files are not yet
    downloaded."""
    if isinstance(scorer, ClipScorer):
        return _of_loaded(scorer)
    folder = scorer_folder(scorer)
    return scorer if folder is None else _of_files(folder)


def _of_loaded(scorer: ClipScorer) -> str:
    walk = Walk()
    walk.names.update(modules.placed(scorer.model, "model"))
    facts = dict(modules.facts_of(scorer.model, "model", walk))
    facts["tokenizer"] = walk.text(scorer.tokenizer, "tokenizer")
    facts["preprocessing"] = walk.text(scorer.preprocessing, "preprocessing")
    return _digest(f"{place}\0{text}" for place, text in sorted(facts.items()))


def _of_files(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    weights = next(([p for p in files if p.suffix == kind] for kind in WEIGHTS if _has(files, kind)), [])
    told = [path for path in files if path.suffix in TOLD]
    return _digest(f"{path.name}\0{checksum(_content(path))}" for path in (*told, *weights))


def _has(files: list[Path], kind: str) -> bool:
    return any(path.suffix == kind for path in files)


def _content(path: Path) -> torch.Tensor:
    import torch

    size = path.stat().st_size
    if not size:
        return torch.empty(0, dtype=torch.uint8)
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)


def _digest(lines: Any) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:24]
