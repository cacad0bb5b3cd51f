"""Measures the cost of reuse: the error of the final latents when steps reuse what an earlier step computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.denoisers import denoiser_of
from hasten.errors import UnsupportedError
from hasten.plan import step_list
from hasten.schedulers import step_numbers

if TYPE_CHECKING:
    import torch

    from hasten.methods._measured import Drawing

Costs = tuple[tuple[float, ...], ...]
"""``costs[s][r]`` is the mean squared error of the final latents where a list contains step s, leaves out the r
steps after it, and contains all others. Row s has one figure for each step from s on, of which the first is 0."""
FOLLOWED, REUSED = 8, 2
"""The number of steps at which it is measured how an error propagates to the final latents, and the number of
reused steps that produce this error."""


def no_costs(steps: int) -> Costs:
    """Returns the costs of a list whose reuse changes nothing."""
    return tuple((0.0,) * (steps - step) for step in range(steps))


class ReuseCosts:
    """Measures costs in about as many runs as there are steps, for each list.

    From each step on, a run reuses until its end, which gives the error at every later step. Runs that continue in
    full from some steps show which share of such an error is left in the final latents; the share is interpolated
    between these steps. Calls before the step in question are replayed from a run of the baseline that was
    recorded call by call.

    Raises:
        UnsupportedError: the calls of the denoiser cannot be told apart by step.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._drawing, self._steps, self._denoiser = drawing, drawing.steps, denoiser_of(drawing.pipe)
        self._inputs: list[torch.Tensor] = []
        self._outputs: list[Any] = []
        with self._called(self._record):
            self._final = drawing.latents()
        numbers = step_numbers(drawing.pipe.scheduler)
        if len(numbers) != len(self._outputs) or numbers[-1] != self._steps - 1:
            raise UnsupportedError(
                f"{type(drawing.pipe.scheduler).__name__} has {len(numbers)} calls of the denoiser for "
                f"{self._steps} steps, the pipeline made {len(self._outputs)}: they cannot be told apart."
            )
        self._first = [numbers.index(step) for step in range(self._steps)]

    def of(self, parameter: str, what: str) -> Costs:
        """Measures the costs of a method's list of steps.

        Args:
            parameter: the list's name. The method's other parameters have their defaults.
            what: what is reused, in words.
        """
        errors = [self._errors(parameter, what, step, [0]) for step in range(self._steps - 1)]
        shares = self._remaining_shares(parameter, what)
        rows = (
            (0.0, *(error * shares[step + 2 + i] for i, error in enumerate(row)))
            for step, row in enumerate(errors)
        )
        return (*rows, (0.0,))

    def _remaining_shares(self, parameter: str, what: str) -> list[float]:
        """Measures which share of a mean squared error in the latents before each step remains in the final
        ones."""
        import numpy as np

        first = REUSED + 1
        count = max(0, min(FOLLOWED, self._steps - first))
        logs = {self._steps: 0.0}
        for step in np.linspace(first, self._steps - 1, count).round().astype(int).tolist():
            listed = [0, *range(first, self._steps - step + first)]
            *_, final = errors = self._errors(parameter, what, step - first, listed)
            if errors[REUSED - 1] and final:
                logs[step] = float(np.log(final / errors[REUSED - 1]))
        at = sorted(logs)
        return [float(x) for x in np.exp(np.interp(range(self._steps + 1), at, [logs[step] for step in at]))]

    def _errors(self, parameter: str, what: str, start: int, listed: Sequence[int]) -> list[float]:
        """Measures the mean squared errors of the latents before steps ``start`` + 2, … and of the final ones.

        Args:
            listed: the steps of the list, counted from ``start``.
        """
        self._drawing.tell(f"what reuse of {what} costs: step {start + 1}/{self._steps}")
        seen: list[torch.Tensor] = []
        installed = self._drawing.installed({parameter: step_list(listed)})
        with installed, self._called(partial(self._replay, seen, start)):
            final = self._drawing.latents()
        later = [self._first[step] for step in range(start + 2, self._steps)]
        pairs = [(seen[call], self._inputs[call]) for call in later] + [(final, self._final)]
        return [float(((x.float() - y.float()) ** 2).mean()) for x, y in pairs]

    def _record(self, call_next: Callable[..., Any], sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self._inputs.append(sample.clone())
        output = call_next(sample, *args, **kwargs)
        self._outputs.append(output)
        return output

    def _replay(
        self,
        seen: list[torch.Tensor],
        start: int,
        call_next: Callable[..., Any],
        sample: torch.Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        seen.append(sample.clone())
        if len(seen) <= self._first[start]:
            return self._outputs[len(seen) - 1]
        return call_next(sample, *args, **kwargs)

    @contextmanager
    def _called(self, wrapper: Callable[..., Any]) -> Iterator[None]:
        """Sends every call of the denoiser through the wrapper, outside of what a plan has installed."""
        before, inner = vars(self._denoiser).get("forward"), self._denoiser.forward

        def forward(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            return wrapper(inner, sample, *args, **kwargs)

        self._denoiser.forward = forward
        try:
            yield
        finally:
            if before is None:
                del self._denoiser.forward
            else:
                self._denoiser.forward = before
