"""What intervals say of limits and of targets, also where they end exactly there."""

from __future__ import annotations

import pytest

from hasten.verdict import Verdict, reaches, together, verdict_of


@pytest.mark.parametrize(
    ("low", "high", "at_edge"),
    [
        (0.1, 0.2, {"inside": "inside", "outside": "inside", "open": "inside"}),
        (-0.2, -0.1, {"inside": "outside", "outside": "outside", "open": "outside"}),
        (-0.1, 0.1, {"inside": "open", "outside": "open", "open": "open"}),
        (0.0, 0.1, {"inside": "inside", "outside": "open", "open": "open"}),
        (-0.1, 0.0, {"inside": "open", "outside": "outside", "open": "open"}),
        (0.0, 0.0, {"inside": "inside", "outside": "outside", "open": "open"}),
    ],
)
def test_an_interval_of_a_margin(low: float, high: float, at_edge: dict[Verdict, Verdict]) -> None:
    assert {edge: verdict_of(low, high, edge) for edge in at_edge} == at_edge


def test_what_is_no_number_is_inside_of_nothing() -> None:
    nan = float("nan")
    assert [verdict_of(nan, nan, "open"), verdict_of(nan, nan, "outside")] == ["open", "outside"]


def test_a_target_is_met_where_it_is_reached() -> None:
    found = [reaches(interval, 2.0) for interval in ((2.0, 2.1), (1.9, 2.0), (1.8, 1.9), None)]
    assert found == ["inside", "open", "outside", "open"]


def test_all_must_be_inside() -> None:
    assert together(["inside", "inside"]) == together([]) == "inside"
    assert together(["inside", "open"]) == "open"
    assert together(["open", "outside", "inside"]) == "outside"
