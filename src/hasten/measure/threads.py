"""How many CPU threads torch computes with: its own choice, another one for a while, and what a script sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which a user tells torch how many threads to use."""
TORCH_THREADS = "torch_threads"


@cache
def own_choice() -> int:
    """The threads that torch had when hasten first asked: its own choice, or that of a user who told it."""
    import torch

    return torch.get_num_threads()


def told_by_user() -> bool:
    """Whether a variable of the environment says how many threads to use."""
    return any(os.environ.get(name) for name in VARIABLES)


def physical_cores() -> int:
    """The cores that this process may use. Two hardware threads of one core count once."""
    import psutil

    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or logical, logical)


@contextmanager
def using_threads(number: int | None) -> Iterator[None]:
    """Lets torch compute with so many threads inside the context; None leaves it as it is."""
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
    """What an environment says of threads: how many there are, and what torch would choose where that differs.

    Its choice is that without the variables of the environment, which may be missing elsewhere; where torch comes
    to the number of threads only without them, it is the choice with them.
    """
    import torch

    own, number = own_choice(), torch.get_num_threads()
    untold = physical_cores() if told_by_user() else own
    found = {"threads": str(number)}
    if number == own == untold:
        return found
    return {**found, TORCH_THREADS: str(own if number == untold else untold)}


def for_script(environment: Mapping[str, str]) -> int | None:
    """The threads that a script has to set so that its times are about the same thing as those measured in an
    environment.

    None where torch comes to that number by itself, and where a GPU computes.
    """
    if environment.get("device") != "cpu" or TORCH_THREADS not in environment:
        return None
    return int(environment["threads"])
