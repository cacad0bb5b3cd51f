"""Notices when another library has removed the wrappers of the denoiser itself."""

from __future__ import annotations

import functools
import threading
from typing import Any

import torch

from hasten.errors import InputError
from hasten.methods._site import Site, Wrapper, refusal


class Root:
    """Checks that every call of the denoiser comes through its outermost wrapper.

    Some libraries put back a ``forward`` that they stored before a plan was applied. The wrappers inside the
    denoiser would then go on without the clock.
    """

    def __init__(self, denoiser: Any) -> None:
        self._denoiser = denoiser
        self._thread = threading.local()
        self._site: Any = None
        self._hooks: list[Any] = []

    def watch(self, site: Site) -> None:
        """Watches the denoiser until ``leave``. ``site`` has the outermost wrapper."""
        self._site = site
        self._hooks = [
            self._denoiser.register_forward_pre_hook(self._begin),
            self._denoiser.register_forward_hook(self._require_reached),
        ]

    def leave(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def reached(self, wrapper: Wrapper) -> Wrapper:
        """Returns the outermost wrapper, extended to note that it was called."""

        @functools.wraps(wrapper)
        def noting(*args: Any, **kwargs: Any) -> Any:
            self._note(True)
            output = wrapper(*args, **kwargs)
            self._note(True)  # again, because the denoiser may have been called inside
            return output

        return noting

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise InputError(refusal(self._denoiser))

    def _begin(self, module: Any, args: Any) -> None:
        self._note(False)

    def _require_reached(self, module: Any, args: Any, output: Any) -> None:
        if not self._is_reached() and self._site.is_replaced:
            raise InputError(
                f"Another library has put back the forward that the {type(module).__name__} had before methods "
                "were applied to it: remove the plan, and apply it again."
            )

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _note(self, reached: bool) -> None:
        self._thread.reached = reached

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _is_reached(self) -> bool:
        return bool(getattr(self._thread, "reached", False))
