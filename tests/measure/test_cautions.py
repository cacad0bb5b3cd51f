"""Rows of times that look wrong, and what is said of them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from hasten.measure.cautions import Caution, OtherLoad, of_precision, of_times

QUIET = [1.0, 1.01, 1.02, 0.99, 1.0, 1.01, 0.98, 1.0, 1.02]


def test_quiet_times_are_not_warned_of() -> None:
    assert list(of_times(QUIET, [t / 2 for t in QUIET])) == []


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([1.0, 1.6, 0.9, 2.0, 1.1, 1.8, 0.8, 1.4, 1.0], "'s times spread by"),
        ([3.0, *QUIET[1:]], "'s first timed call took 3 s, the later ones 1 s"),
        ([*QUIET[:4], 2.0, *QUIET[5:]], "1 of the "),
    ],
)
def test_what_one_side_shows_names_that_side(times: list[float], words: str) -> None:
    (of_baseline,), (of_plan,) = list(of_times(times, QUIET)), list(of_times(QUIET, times))
    assert words in of_baseline and "baseline" in of_baseline
    assert words in of_plan and "plan" in of_plan


@pytest.mark.parametrize(("last", "more"), [(1.2, "20% longer"), (0.82, "18% less")])
def test_a_drift_is_what_both_sides_show(last: float, more: str) -> None:
    drifting = [1.0] * 3 + [(1 + last) / 2] * 3 + [last] * 3
    (said,) = of_times(drifting, [t / 2 for t in drifting])
    assert f"Calls took {more} at the end" in said
    assert list(of_times(drifting, QUIET)) == []


def test_of_two_pairs_only_their_number_is_told() -> None:
    assert list(of_times([1.0, 9.0], [1.0, 1.0])) == [Caution.FEW_PAIRS.says(pairs=2)]


def test_a_speedup_that_is_not_known_well() -> None:
    assert list(of_precision(2.0, (1.97, 2.03), 28)) == []
    assert list(of_precision(2.0, (1.8, 2.2), 28)) == [
        "After 28 pairs, the most that are timed, the speedup is known to 10% either way only."
    ]


def test_work_of_another_process_on_the_cores_is_noticed() -> None:
    """This process rests while the other one works."""
    load = OtherLoad("cpu")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(2)
    finally:
        busy.kill()
        busy.wait()
    (said,) = load.cautions()
    assert said.startswith("Other processes used ")


def test_its_own_work_is_not_taken_for_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same busy seconds, all are this process' own: what the cores were busy with is what it used."""
    monkeypatch.setattr("hasten.measure.cautions._busy_s", time.process_time)
    load = OtherLoad("cpu")
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    assert list(load.cautions()) == []
