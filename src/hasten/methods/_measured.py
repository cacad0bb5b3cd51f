"""Methods that measure their own grid: a search tries the values that did best in its setting."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from hasten.methods.base import Method
from hasten.plan import Parameters, Value

if TYPE_CHECKING:
    import torch


class Drawing(Protocol):
    """The pipeline of a search in its setting, which draws the same few images in each run.

    Attributes:
        pipe: the diffusers pipeline. Whatever a method changes on it by itself, it takes back.
        steps: the number of steps of each run.
    """

    @property
    def pipe(self) -> Any: ...

    @property
    def steps(self) -> int: ...

    def latents(self) -> torch.Tensor:
        """Returns the final latents of a run: (n, channels, h, w).

        Raises:
            MeasurementError: the time to measure is over, or the run failed.
        """

    def installed(self, parameters: Parameters) -> AbstractContextManager[object]:
        """Returns a context in which the method is on the pipeline with these parameters."""

    def tell(self, words: str) -> None:
        """Says in a few words what is measured now."""


class MeasuresGrid(Method):
    """A method whose grid in a setting follows from measurements there.

    A search measures once, before it looks for plans, and keeps the result in its store. Where the grid cannot be
    measured, or there is no time for it, the grid of the method's ``parameters`` is searched.

    Attributes:
        kept_as: the name under which the store keeps the result, different for each method.
    """

    kept_as: str

    @abstractmethod
    def measure(self, drawing: Drawing) -> Mapping[str, Any]:
        """Measures what the grid depends on.

        Returns:
            Anything that JSON can hold, under names other than ``setting``, ``environment``, ``samples`` and
                ``steps``.

        Raises:
            UnsupportedError: it cannot be measured on this pipeline.
            MeasurementError: a run failed, or there is no more time.
        """

    @abstractmethod
    def measured_grid(self, found: Mapping[str, Any], steps: int) -> Mapping[str, tuple[Value, ...]]:
        """Returns the values to try, the mildest first, of each parameter whose values were measured.

        Args:
            found: the result of ``measure``, as JSON gives it back.
            steps: the setting's steps.
        """
