"""The files of a model's folder: weights under their usual names, weights of a variant, and single files."""

from __future__ import annotations

import re
from pathlib import Path

from hasten.errors import InputError
from hasten.files import folder_at

WEIGHTS = re.compile(r"[^.]+(?:\.(?P<variant>\w+?))?(?:-\d+-of-\d+)?(?:\.(?P<late>\w+))?\.safetensors")
"""Matches ``model.safetensors`` and ``model.fp16.safetensors``, also in parts, with the variant on either side."""
_HUB_ID = re.compile(r"(?!.*(?:--|\.\.))\b[\w.-]{1,96}\b/\b[\w.-]{1,96}\b", re.ASCII)
"""Matches what the Hugging Face hub takes for the id of a repository with its owner."""
USUAL = "fp16"
SINGLE = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
IN_WORDS = re.compile(r"""[^\s"'`“”「」]+\.(?:safetensors|ckpt|gguf)(?![\w/])""", re.IGNORECASE)


def source_at(name: str) -> str | None:
    """Returns the path of the folder or the hub id that a name stands for, without reading or fetching any of it.
    Returns None where it is neither."""
    folder = folder_at(name)
    return str(folder) if folder else name if _HUB_ID.fullmatch(name) else None


def variant_of(source: str) -> str | None:
    """Returns the variant that ``from_pretrained`` needs: ``fp16`` where a folder has only files such as
    ``diffusion_pytorch_model.fp16.safetensors``. Returns None where the usual files are there, and for a hub
    id."""
    folder = Path(source)
    parts = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    lacking = [found for part in parts if (found := _variants(part)) and None not in found]
    shared = {name for name in set.intersection(*lacking) if name} if lacking else set()
    return USUAL if USUAL in shared else min(shared, default=None)


def variant_among(part: Path, variant: str | None) -> str | None:
    """Returns the variant to load one component with, where its folder's variant is ``variant``."""
    found = _variants(part)
    return variant if variant in found and None not in found else None


def _variants(part: Path) -> set[str | None]:
    """Returns the variants whose weights a component has. None stands for weights under the usual names."""
    matches = (WEIGHTS.fullmatch(path.name) for path in part.glob("*.safetensors"))
    return {match["variant"] or match["late"] for match in matches if match}


def refuse_file_in(request: str) -> None:
    """Raises InputError where a sentence names a file of weights."""
    for word in IN_WORDS.findall(request):
        refuse_single_file(word)


def refuse_single_file(model: str) -> None:
    """Raises InputError where the model is given as one file of weights."""
    if not model.lower().endswith(SINGLE):
        return
    raise InputError(
        f"{model!r} is a single file of weights: hasten takes a folder in diffusers layout. Make one by "
        f"StableDiffusionXLPipeline.from_single_file({model!r}).save_pretrained('my-model') or the same of the "
        "model's own pipeline, and give that folder."
    )
