"""The store of trials: a database of Optuna studies, one for each setting, environment and set of methods.

The public names are loaded on first use, because the original's files, in ``hasten.store.seeds``, do not need
Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hasten.store.database import default_storage, open_database, storage_url
    from hasten.store.trials import Store

_HOMES = {
    "Store": "hasten.store.trials",
    "default_storage": "hasten.store.database",
    "open_database": "hasten.store.database",
    "storage_url": "hasten.store.database",
}
__all__ = ["Store", "default_storage", "open_database", "storage_url"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hasten.store' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
