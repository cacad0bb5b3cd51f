"""The number of CPU threads of torch: its own choice, another number for a while, and the number that a script
sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which users set the number of threads."""
TORCH_THREADS = "torch_threads"


@cache
def own_choice() -> int:
    """Returns the number of threads that torch had when hasten first asked: its own choice, or the user's."""
    import torch

    return torch.get_num_threads()


def told_by_user() -> bool:
    """Returns whether an environment variable sets the number of threads."""
    return any(os.environ.get(name) for name in VARIABLES)


def physical_cores() -> int:
    """Returns the number of cores that this process may use. Two hardware threads of a core count once."""
    import psutil

    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or logical, logical)


@contextmanager
def using_threads(number: int | None) -> Iterator[None]:
    """Makes torch compute with this number of threads inside the context; None leaves it as it is."""
    import torch

    own_choice()  # before it is changed
    before = torch.get_num_threads()
    if number is not None and number != before:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def told_of_threads() -> dict[str, str]:
    """Returns the entries of an environment about threads: their number, and torch's own choice where it differs.

    That choice is the one without the environment variables, which may be missing elsewhere. Where torch arrives
    at the number of threads only without them, it is the choice with them.
    """
    import torch

    own, number = own_choice(), torch.get_num_threads()
    untold = physical_cores() if told_by_user() else own
    found = {"threads": str(number)}
    if number == own == untold:
        return found
    return {**found, TORCH_THREADS: str(own if number == untold else untold)}


def for_script(environment: Mapping[str, str]) -> int | None:
    """Returns the number of threads that a script has to set to reproduce the times of an environment.

    It is None where torch chooses that number by itself, and where a GPU computes.
    """
    if environment.get("device") != "cpu" or TORCH_THREADS not in environment:
        return None
    return int(environment["threads"])
