"""Classifies failures, and turns a plan's crash into the reason of a failed trial."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from hasten.errors import CallError, HastenError, MeasurementError
from hasten.measure.termination import TimeUp, forget, leave_if_asked
from hasten.texts import fit


class PlanError(MeasurementError):
    """A plan's failure, because of which it has no figures. The message is the trial's reason."""


class PlanMemoryError(PlanError):
    """The plan, or the baseline, ran out of memory."""


class PlanTimeError(PlanError):
    """The plan, or the baseline, exceeded its limit of time."""


@contextmanager
def plan_failures() -> Iterator[None]:
    """Turns whatever a plan's run raises into PlanError, and frees the memory that the run held.

    Errors in the user's input pass, except for calls that a method of the plan refuses. KeyboardInterrupt and
    SystemExit pass as well. Where the process was asked to end, nothing counts as a failure of the plan, and the
    exception of the end goes on.

    Raises:
        PlanError: the plan's run failed; PlanMemoryError where memory ran out, PlanTimeError where it was ended
            by its limit of time.
    """
    kind: type[PlanError]
    try:
        with _ending_first():
            yield
        return
    except PlanError:
        raise
    except HastenError as error:
        if not isinstance(error, MeasurementError | CallError):
            raise
        kind, reason = PlanError, str(error)
    except TimeUp as error:
        forget(TimeUp)
        kind, reason = PlanTimeError, str(error)
    except Exception as error:
        kind, reason = (PlanMemoryError if out_of_memory(error) else PlanError), reason_of(error)
    # The exception is gone here, and with it the traceback whose frames held the tensors.
    free_memory()
    raise kind(reason)


@contextmanager
def _ending_first() -> Iterator[None]:
    try:
        yield
    except Exception:
        leave_if_asked()
        raise
    leave_if_asked()


def free_memory() -> None:
    """Frees what nothing refers to: to Python, and from PyTorch's cache to the GPU."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Returns whether the error is Python's, CUDA's, or the one of PyTorch's CPU allocator, which has no class of
    its own."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def reason_of(error: BaseException) -> str:
    """Returns what happened in one line: ``Out of memory: …``, or the exception's name and its first line."""
    first_line = next(iter(str(error).splitlines()), "")
    what = "Out of memory" if out_of_memory(error) else type(error).__name__
    return fit(f"{what}: {first_line}") if first_line else what
