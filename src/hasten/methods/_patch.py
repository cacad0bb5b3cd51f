"""Puts wrappers around the forward methods of modules, and removes them in any order without a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hasten.errors import InputError
from hasten.methods._clash import clash
from hasten.methods._clock import Clock, StateOf
from hasten.methods._conversion import Conversion
from hasten.methods._installed import ATTRIBUTE, REMOVE
from hasten.methods._root import Root
from hasten.methods._run import Member
from hasten.methods._site import Calls, Site, Wrapper, refusal
from hasten.methods._stats import Tally, Tell
from hasten.methods._weights import Weights
from hasten.methods.base import Current, Method, S
from hasten.plan import Parameters, Plan

__all__ = ["Conversion", "Current", "Patches", "Wrapper"]

_CLOCK, _OUTERMOST = "clock", 1_000_000
_WEIGHTS, _BENEATH_CLOCK = "weights", _OUTERMOST - 1


class Patches:
    """All that is installed on one denoiser. The denoiser keeps it in one attribute while anything is installed.

    Each wrapped module has one ``forward`` of its own, which runs the wrappers of all methods; a smaller
    ``Method.order`` is nearer to the module. Removing a method takes out its wrappers, and a module without
    wrappers gets back exactly what it had.
    """

    def __init__(self, denoiser: Any) -> None:
        self.denoiser = denoiser
        self.clock = Clock(denoiser)
        self._methods: dict[str, Method] = {}
        self._given: dict[str, Parameters] = {}
        self._root = Root(denoiser)
        self._sites: dict[Any, Site] = {}
        self._calls: dict[int, Calls] = {}
        self._weights: dict[Any, Weights] = {}
        self._undo: dict[str, list[Callable[[], object]]] = {}

    @classmethod
    def of(cls, denoiser: Any) -> Patches:
        """Returns the patches that are installed on the denoiser, or new ones, which it does not keep yet."""
        return denoiser.__dict__.get(ATTRIBUTE) or cls(denoiser)

    def require_absent(self, method: Method) -> None:
        """Raises InputError where the method, or one that it cannot be used beside, is installed."""
        if method.name in self._methods:
            raise InputError(
                f"{method.title} is already applied to this {type(self.denoiser).__name__}: {REMOVE}."
            )
        for other in self._methods.values():
            if reason := clash((other, method)):
                raise InputError(
                    f"{other.title} is already applied to this {type(self.denoiser).__name__}: {REMOVE}. {reason}"
                )

    def add(self, method: Method, pipe: Any, parameters: Parameters, tell: Tell) -> Tally:
        """Installs the method and returns the tally that counts its effects. After an error nothing of it is
        installed.

        ``tell`` is called with a sentence when the method had no effect in a call.
        """
        self.require_absent(method)
        self.clock.tallies[method.name] = tally = Tally(method, pipe, parameters, tell)
        self._methods[method.name], self._given[method.name] = method, parameters
        setattr(self.denoiser, ATTRIBUTE, self)
        if len(self._methods) == 1:
            self._root.watch(self._site(self.denoiser))
            self._site(self.denoiser).add(_OUTERMOST, _CLOCK, self._root.reached(self.clock.wrapper))
        try:
            self._follow_calls(method, pipe)
            method.install(pipe, parameters, self)
        except BaseException:
            self.remove(method.name)
            raise
        return tally

    def wrap(self, method: Method, module: Any, wrapper: Wrapper) -> None:
        """Adds one wrapper to one module. A method calls this in its ``install``."""
        self._site(module).add(method.order, method.name, wrapper)

    def wrap_calls(self, method: Method, pipe: Any, wrapper: Wrapper) -> None:
        """Adds one wrapper to the calls of the pipeline. A method calls this in its ``install``."""
        self._calls[id(pipe)].add(method.order, method.name, wrapper)

    def listen(self, method: Method, make: Callable[[], S], *, run_wide: bool = False) -> Current[S]:
        """Lets the clock make the method's states and tell them of runs and steps. A method calls this in its
        ``install``.

        ``make`` returns a new state: one for each call that a step of a run makes, or, with ``run_wide``, one for
        each run. The result returns the state of the call under way whenever a wrapper calls it.
        """
        self.clock.join(Member(method.order, method.name, make, run_wide))
        return StateOf(self.clock, method.name)

    def counts_left_out(self, method: Method) -> Callable[[int], None]:
        """Returns a function to tell, as a call of the pipeline begins, how many of its steps are not taken."""
        return self.clock.tallies[method.name].leave_out

    def convert(self, method: Method, host: Any, conversion: Conversion) -> None:
        """Makes calls of a module, the denoiser or another, compute with converted weights. A method calls this
        in its ``install``, and then has no state of its own.

        Outside of the calls the module has its own weights, whatever becomes of them.
        """
        is_root = host is self.denoiser
        if host not in self._weights:
            self._weights[host] = Weights(host, follows_runs=is_root)
            self._site(host).add(_BENEATH_CLOCK, _WEIGHTS, self._weights[host].wrapper)
        weights = self._weights[host]
        weights.add(method.order, method.name, conversion)
        if is_root:
            self.listen(method, lambda: weights.fresh(conversion), run_wide=True)

    def undo(self, method: Method, action: Callable[[], object]) -> None:
        """Registers an action that takes back a change that is not a wrapper. A method calls this in its
        ``install``."""
        self._undo.setdefault(method.name, []).append(action)

    @property
    def plan(self) -> Plan:
        """All methods that are installed, with their parameters."""
        return Plan.of(self._given)

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods that are installed."""
        return tuple(self._methods.values())

    def has(self, name: str) -> bool:
        """Returns whether the method of that name is installed."""
        return name in self._methods

    def remove(self, name: str) -> None:
        """Removes the method of that name; does nothing where it is not installed."""
        if self._methods.pop(name, None) is None:
            return
        del self._given[name]
        self.clock.leave(name)
        self._strip(name)
        for action in reversed(self._undo.pop(name, [])):
            action()
        if not self._methods:
            self._strip(_CLOCK)
            self._root.leave()
            delattr(self.denoiser, ATTRIBUTE)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise InputError(refusal(self.denoiser))

    def _follow_calls(self, method: Method, pipe: Any) -> None:
        """Lets the clock follow the calls of the pipeline while the method is installed."""
        if not Calls.can_be_wrapped(pipe):
            return
        if id(pipe) not in self._calls:
            self._calls[id(pipe)] = Calls(pipe)
        self._calls[id(pipe)].add(_OUTERMOST, method.name, self.clock.called)

    def _site(self, module: Any) -> Site:
        if module not in self._sites:
            always = module is self.denoiser or module in self._weights
            self._sites[module] = Site(module, lambda: always or self.clock.lane is not None)
        return self._sites[module]

    def _strip(self, name: str) -> None:
        self._sites = {module: site for module, site in self._sites.items() if site.keeps_any_without(name)}
        self._calls = {key: calls for key, calls in self._calls.items() if calls.keeps_any_without(name)}
        self._weights = {host: weights for host, weights in self._weights.items() if self._keeps(host, name)}

    def _keeps(self, host: Any, name: str) -> bool:
        """Drops the conversion of that name and returns whether any are left on the module."""
        if self._weights[host].keeps_any_without(name):
            return True
        if not self._sites[host].keeps_any_without(_WEIGHTS):
            del self._sites[host]
        return False
