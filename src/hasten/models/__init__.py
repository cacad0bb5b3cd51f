"""The model families and their models. Each family has its own file."""

from __future__ import annotations

from hasten.models._embedded import ASSETS, embedded_folder
from hasten.models._files import refuse_file_in, refuse_single_file, source_at, variant_of
from hasten.models._known import (
    FAMILIES,
    family_named,
    find_model,
    model_at,
    model_name,
    model_names,
)
from hasten.models._likeness import likened
from hasten.models._load import check_device, check_source, family_of, load_pipeline
from hasten.models._parts import checked, left_out_at
from hasten.models._quiet import quiet_loading
from hasten.models._usual import assumed_scheduler, assumed_steps, usual_argument, usual_scheduler, usual_steps
from hasten.models.base import Family, Model

__all__ = [
    "ASSETS",
    "FAMILIES",
    "Family",
    "Model",
    "assumed_scheduler",
    "assumed_steps",
    "check_device",
    "check_source",
    "checked",
    "embedded_folder",
    "family_named",
    "family_of",
    "find_model",
    "left_out_at",
    "likened",
    "load_pipeline",
    "model_at",
    "model_name",
    "model_names",
    "quiet_loading",
    "refuse_file_in",
    "refuse_single_file",
    "source_at",
    "usual_argument",
    "usual_scheduler",
    "usual_steps",
    "variant_of",
]
