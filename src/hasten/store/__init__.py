"""The store of trials: Optuna studies in a database, one a setting, environment and set of methods."""

from __future__ import annotations

from hasten.store.database import default_storage, open_database, storage_url
from hasten.store.trials import Store

__all__ = ["Store", "default_storage", "open_database", "storage_url"]
