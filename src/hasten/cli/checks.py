"""The checks of ``hasten doctor``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from hasten.errors import HastenError

REQUIRED = ("torch", "diffusers", "transformers", "optuna", "torchmetrics")
OPTIONAL = ("DeepCache", "tgate", "tomesd")


@dataclass(frozen=True)
class Check:
    name: str
    fine: bool
    detail: str


def checks() -> list[Check]:
    """Runs every check. A failing check does not stop the others."""
    return [
        _packages(),
        _upstream(),
        _tried("devices", _devices),
        _tried("threads", _threads),
        _tried("models", _models),
        _tried("store", _store),
    ]


def _packages() -> Check:
    found = {name: _version(name) for name in REQUIRED}
    return Check("packages", all(found.values()), ", ".join(f"{n} {v or 'missing'}" for n, v in found.items()))


def _upstream() -> Check:
    missing = [name for name in OPTIONAL if not _version(name)]
    detail = "installed" if not missing else f"without {', '.join(missing)}: pip install 'hasten[upstream]'"
    return Check("packages for --runtime upstream (optional)", True, detail)


def _devices() -> str:
    import torch

    from hasten.measure.environment import environment

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return ", ".join(f"{name} {value}" for name, value in environment(device).items())


def _threads() -> str:
    """Returns torch's own number of threads, and what was found to be the fastest here before."""
    from hasten.measure.thread_choice import folder, remembered
    from hasten.measure.threads import VARIABLES, own_choice, told_by_user

    own = own_choice()
    if told_by_user():
        return f"{own} on the CPU, as {' or '.join(VARIABLES)} says"
    found = [f"{threads} for {model}" for model, threads in remembered()]
    before = f"; found before, in {folder()}: {', '.join(found)}" if found else ""
    return f"torch's own choice on the CPU is {own}; commands take what is fastest, or --threads{before}"


def _models() -> str:
    """Loads each embedded model and its scorer, and returns a summary."""
    from hasten.metrics import load_scorer
    from hasten.models import FAMILIES, load_pipeline

    embedded = [m for family in FAMILIES.all() for m in family.models if m.embedded]
    for model in embedded:
        load_pipeline(model)
        load_scorer(model.scorer, "cpu")
    return ", ".join(f"{m.name} and {m.scorer} load" for m in embedded)


def _store() -> str:
    from hasten.store.database import default_storage, open_database
    from hasten.store.trials import outdated

    old, total = outdated(open_database(None))
    told = f"{default_storage()}, {total} trials"
    if not old:
        return told
    return (
        f"{told}; {old} of them are kept and not used: an earlier hasten told pipelines apart by the weights of "
        "their denoisers alone, not by everything that makes the pictures"
    )


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except (HastenError, OSError, ImportError, RuntimeError) as error:
        return Check(name, False, str(error))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
