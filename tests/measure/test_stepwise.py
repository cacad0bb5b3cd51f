"""Calls cut where the denoiser is called."""

from __future__ import annotations

import torch

from hasten.measure.stepwise import cut, pieces_of, seconds_of, undisturbed


def test_a_call_is_cut_where_the_denoiser_is_called() -> None:
    denoiser = torch.nn.Linear(1, 1)
    with cut([denoiser]) as pieces_s:
        for calls in (3, 1, 0):
            pieces_s()
            for _ in range(calls):
                denoiser(torch.zeros(1))
            found = pieces_s()
            assert list(found) == [str(i) for i in range(calls + 1)]
            assert all(seconds > 0 for seconds in found.values())
    assert not denoiser._forward_pre_hooks


def test_one_call_begins_and_ends_with_its_first_and_last_piece() -> None:
    denoiser, ticks = torch.nn.Identity(), iter(range(100))

    def call() -> None:
        for _ in range(2):
            next(ticks)
            denoiser(torch.zeros(1))
        next(ticks)

    found = pieces_of(call, denoiser, "cpu", (lambda: next(ticks), lambda start, end: end - start))
    assert found == [2, 2, 2]
    assert not denoiser._forward_pre_hooks


def test_slow_calls_do_not_count_even_where_they_are_most() -> None:
    calls = [[1.0, 2.0], [5.0, 2.0], [5.0, 9.0], [1.0, 9.0], [5.0, 9.0]]
    assert seconds_of(calls) == 3.0
    assert undisturbed([7.0]) == 7.0 and undisturbed([1.0, 2.0, 3.0]) == 1.5
