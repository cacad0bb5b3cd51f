"""The suite that a method proves itself with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch

from hasten.errors import ParameterError
from hasten.methods import METHODS, MeasuresGrid, apply, clash
from hasten.methods.base import Method
from hasten.plan import Plan
from hasten.testing import checks
from hasten.testing.checks import STEPS, Subject
from hasten.testing.generating import FAMILIES, latents

OWN = (
    "deepcache(cache_branch_id=0,cache_interval=2)",
    "guidance_cutoff(cutoff_step=2)",
    "tgate(fi_interval=2,gate_step=3,sp_interval=2,warm_up=0)",
    "tome(ratio=0.5)",
)
"""Effective plans of hasten's methods, each replacing something else, that another method is tried beside."""


class MethodContract:
    """All that a method must keep: a subclass names a plan of it, and pytest runs the tests below on it.

    Example::

        class TestSkip(MethodContract):
            effective = "skip(interval=2)"
            illegal = ("skip(interval=0)",)
            families = ("sd", "sdxl")

    Attributes:
        effective: a plan of the method alone, with effect in a run of 4 steps.
        illegal: plans of the method alone that must be refused.
        families: those whose pipelines the method takes, of ``hasten.testing.FAMILIES``. It must refuse the others
            with a reason.
        tolerance: of a method that leaves no work out, how far its latents may be from the baseline's, relative to
            their norm.
    """

    effective: ClassVar[str]
    illegal: ClassVar[tuple[str, ...]] = ()
    families: ClassVar[tuple[str, ...]] = FAMILIES
    tolerance: ClassVar[float] = 0.001

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Each test runs on the families that it asks for."""
        others = tuple(family for family in FAMILIES if family not in cls.families)
        asked = {"subject": cls.families, "refused_subject": others, "illegal_plan": cls.illegal}
        for name, values in asked.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, indirect=name != "illegal_plan")

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Iterator[Subject]:
        """A family's small pipeline. Each test must leave it as it was."""
        found = checks.subject(request.param)
        with checks.untouched(found.pipe):
            yield found

    @pytest.fixture
    def refused_subject(self, request: pytest.FixtureRequest) -> Subject:
        """The small pipeline of a family that the method refuses."""
        return checks.subject(request.param)

    @property
    def plan(self) -> Plan:
        return Plan.parse(self.effective)

    @property
    def method(self) -> Method:
        """The method, as hasten knows it by its name."""
        return METHODS.get(self.plan.methods[0])

    def beside(self, subject: Subject) -> list[Plan]:
        """The method together with each of hasten's own that can be used beside it."""
        plans = [
            Plan.parse(f"{own}+{self.effective}") for own in OWN if Plan.parse(own).methods != self.plan.methods
        ]
        return [plan for plan in plans if self._fits(plan, subject.pipe)]

    @staticmethod
    def _fits(plan: Plan, pipe: Any) -> bool:
        methods = [METHODS.get(name) for name in plan.methods]
        return not clash(methods) and all(method.unsupported(pipe) is None for method in methods)

    def test_it_declares_what_people_read(self) -> None:
        for what in ("title", "summary", "paper"):
            assert getattr(self.method, what).strip(), f"the method has no {what}"
        assert len(self.plan.methods) == 1, "effective is a plan of one method"
        assert all(p.meaning for p in self.method.parameters()), "each parameter says what it means"

    def test_its_defaults_neutral_values_and_grids_are_legal(self, subject: Subject) -> None:
        parameters = self.method.parameters(subject.pipe, STEPS)
        self.method.check({}, subject.pipe, STEPS)
        neutral = self.method.neutral(subject.pipe, STEPS)
        if neutral is not None:
            assert self.method.check(neutral, subject.pipe, STEPS) == neutral
        for parameter in parameters:
            for value in parameter.grid:
                assert self.method.legal(parameter, value) == value, parameter.name

    def test_neutral_is_the_baseline(self, subject: Subject) -> None:
        neutral = self.method.neutral(subject.pipe, STEPS)
        if neutral is not None:
            checks.neutral_is_the_baseline(subject, Plan.of({self.method.name: neutral}))

    def test_effective_changes_the_image_and_repeats(self, subject: Subject) -> None:
        checks.effective_changes_the_image_and_repeats(subject, self.plan, self.tolerance)

    def test_effective_cuts_work(self, subject: Subject) -> None:
        checks.work_is_cut(subject, self.plan)

    def test_counted_work_is_the_declared_work(self, subject: Subject) -> None:
        if not self.method.adaptive:
            checks.counted_work_is_the_declared_work(subject, self.plan)

    def test_its_measured_grid_is_legal(self, subject: Subject) -> None:
        if isinstance(self.method, MeasuresGrid):
            checks.measured_grid_is_legal(subject, self.method)

    def test_no_state_leaks(self, subject: Subject) -> None:
        checks.no_state_leaks(subject, self.plan)

    def test_it_goes_with_others(self, subject: Subject) -> None:
        for plan in self.beside(subject):
            with apply(subject.pipe, plan, STEPS):
                first = latents(subject.pipe)
                assert torch.equal(latents(subject.pipe), first), f"{plan} does not repeat"
            assert torch.isfinite(first).all(), f"{plan} is not finite"
            checks.removal_in_every_order(subject, plan, (plan.methods, plan.methods[::-1]))

    def test_twice_is_an_error(self, subject: Subject) -> None:
        checks.twice_is_an_error(subject, self.plan, (self.plan, *self.beside(subject)))

    def test_illegal_parameters_are_an_error(self, illegal_plan: str) -> None:
        for family in self.families:
            pipe = checks.subject(family).pipe
            with checks.untouched(pipe), pytest.raises(ParameterError, match=self.method.title):
                apply(pipe, illegal_plan, STEPS)

    def test_an_unknown_parameter_is_an_error(self) -> None:
        with pytest.raises(ParameterError, match="has no parameter 'no_such_parameter'"):
            self.method.check({"no_such_parameter": 1})

    def test_a_failed_install_is_undone(self, subject: Subject) -> None:
        checks.a_failed_install_is_undone(subject, self.method.name, self.plan)

    def test_other_families_are_refused_with_the_reason(self, refused_subject: Subject) -> None:
        reason = self.method.unsupported(refused_subject.pipe)
        assert reason, f"{type(refused_subject.pipe).__name__} is taken: name its family in families"
        checks.unsupported_is_an_error(refused_subject.pipe, self.plan, reason)
