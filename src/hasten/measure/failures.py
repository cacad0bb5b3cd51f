"""What failures are called, and the one place where a plan's crash becomes a failed trial."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from hasten.errors import CallError, HastenError, MeasurementError
from hasten.measure.ending import leave_if_asked
from hasten.texts import fit


class PlanError(MeasurementError):
    """What a plan did that no figure can be given for; the message is the trial's reason."""


class PlanMemoryError(PlanError):
    """The plan, or the baseline, ran out of memory."""


@contextmanager
def plan_failures() -> Iterator[None]:
    """Turns whatever a plan's run raises into PlanError; memory is freed after it ran out.

    Errors in the user's input pass through, but for calls that a method of the plan refuses. So do
    KeyboardInterrupt and SystemExit. Where the process was asked to end meanwhile, nothing is a failure of the
    plan: the exception of the end goes on.
    """
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
    except Exception as error:
        kind, reason = (PlanMemoryError if out_of_memory(error) else PlanError), reason_of(error)
    # Here the exception is gone, and with its traceback the frames that held the tensors.
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
    """Gives back what nothing refers to any more: to Python, and from PyTorch's cache to the GPU."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Python's error, CUDA's, or that of PyTorch's allocator on the CPU, which has no class of its own."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def reason_of(error: BaseException) -> str:
    """One line that says what happened: ``Out of memory: …``, or the exception's name and its first line."""
    first_line = next(iter(str(error).splitlines()), "")
    what = "Out of memory" if out_of_memory(error) else type(error).__name__
    return fit(f"{what}: {first_line}") if first_line else what
