"""The networks of a pipeline's folder. Only classes of the libraries are loaded, and only with all of their
weights.

Left to themselves, the libraries fill missing weights with random numbers, and run code that a folder names as its
own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.models._files import variant_among, variant_of

if TYPE_CHECKING:
    import torch

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
SHOWN = 3
_OWN_CODE = (
    "code that a model brings along is never run. Give a model whose pipeline and parts are classes of diffusers "
    "and transformers; your own program can load any other and give it to hasten.tune."
)


def parts_of(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Returns the components that have a folder of their own, each with its library and class. The safety checker
    is left out: it is never loaded."""
    named = (
        (name, value) for name, value in index.items() if isinstance(value, list) and value and name[:1] != "_"
    )
    kept = ((name, value) for name, value in named if value[0] is not None and name != "safety_checker")
    return {name: (str(value[0]), str(value[-1])) for name, value in kept}


def left_out(index: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the text encoders and tokenizers that a pipeline was saved without, as SD3 can be without its T5.

    diffusers has to be given None for each, although its index has ``[null, null]`` for them.
    """
    named = (name for name, value in index.items() if isinstance(value, list) and value[:1] == [None])
    return tuple(n for n in named if n.startswith(("text_encoder", "tokenizer")) and n.isidentifier())


def left_out_at(source: str) -> tuple[str, ...]:
    """Returns what the pipeline in a folder was saved without; nothing for a hub id, which is not contacted."""
    try:
        index = json.loads((Path(source) / INDEX).read_text(encoding="utf-8"))
        return left_out(dict(index))
    except (OSError, ValueError, TypeError, RecursionError):
        return ()  # the loader of the folder reports its faults


def refuse_code(source: str, index: Mapping[str, Any], folder: Path | None = None) -> None:
    """Raises InputError where a pipeline's index names code that is not of the libraries.

    ``folder``: the place of the pipeline's files, which may hold a module with the name of a library.
    """
    import diffusers.pipelines

    if isinstance(index.get("_class_name"), list):
        raise InputError(f"{source!r} is for {index.get('_class_name')!r}: {_OWN_CODE}")
    for name, (library, cls) in parts_of(index).items():
        known = library in LIBRARIES or library in dir(diffusers.pipelines)
        beside = folder and [file for file in (f"{library}.py", INDEX) if (folder / name / file).exists()]
        if not known or beside or Path(name).name != name:
            raise InputError(f"The part {name!r} of {source!r} is {cls!r} of {library!r}: {_OWN_CODE}")


def load_networks(folder: Path, index: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Returns the networks of a pipeline in a local folder, by name. The pipeline's class may load everything
    else.

    Raises:
        InputError: the files of a network lack weights, or hold weights that its configuration has no place for.
    """
    variant = variant_of(str(folder))
    return {
        name: _network(cls, folder / name, dtype, variant_among(folder / name, variant))
        for name, named in parts_of(index).items()
        if (cls := _class_of(*named)) is not None
    }


def _class_of(library: str, name: str) -> Any:
    """Returns the class of a network, or None where a part is no network, such as a tokenizer or a scheduler."""
    import diffusers
    import transformers

    cls = getattr({"diffusers": diffusers, "transformers": transformers}.get(library), name, None)
    bases = (diffusers.ModelMixin, transformers.PreTrainedModel)
    return cls if isinstance(cls, type) and issubclass(cls, bases) else None


def _network(cls: Any, place: Path, dtype: torch.dtype, variant: str | None) -> Any:
    given = {"use_safetensors": True, "low_cpu_mem_usage": True, "variant": variant}
    return checked(cls.from_pretrained(place, output_loading_info=True, **{_keyword(cls): dtype}, **given), place)


def _keyword(cls: Any) -> str:
    """Returns the name of the dtype argument. transformers 4.56 renamed it, and warns of the old name."""
    major, minor = version("transformers").split(".")[:2]
    renamed = cls.__module__.startswith("transformers") and (int(major), int(minor)) >= (4, 56)
    return "dtype" if renamed else "torch_dtype"


def checked(loaded: tuple[Any, Mapping[str, Iterable[Any]]], place: str | Path) -> Any:
    """Returns the network that ``from_pretrained(…, output_loading_info=True)`` gave, after checking its weights.

    The libraries already ignore weights that a class may lack, such as weights that are tied to others.
    Superfluous weights of a whole module that a network does not have, such as the head of a classifier, do no
    harm and are accepted.

    Raises:
        InputError: weights are missing, or there are weights that the network's own modules have no place for.
    """
    network, info = loaded
    own = {name.partition(".")[0] for name in network.state_dict()}
    strange = [name for name in map(str, info["unexpected_keys"]) if name.partition(".")[0] in own]
    for names, what in ((list(map(str, info["missing_keys"])), "lack"), (strange, "hold, without a place for")):
        if names:
            shown = ", ".join(sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            raise InputError(
                f"The weights in {str(place)!r} {what} {len(names)} of {type(network).__name__}'s tensors "
                f"({shown}): the files and config.json do not belong together, or are not whole. Copy or download "
                "the model again."
            )
    return network
