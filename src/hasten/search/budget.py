"""The trials and the time that a search may use, with enough time reserved for what must follow it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

from hasten.measure.bench import Bench
from hasten.measure.blocks import PROFILED_STEPS
from hasten.measure.contract import Measures
from hasten.measure.pace import pace_of, profiled_pace
from hasten.measure.stats import samples_of
from hasten.options.table import MIN_SAMPLES
from hasten.records import FEW_PAIRS, Trial
from hasten.search.options import SearchOptions
from hasten.store import Store

logger = logging.getLogger(__name__)
WARM_UP = 1  # calls before the timed ones
PROFILED_RUNS = 32
"""The cost of a profile, in calls of as many steps as it takes. Calls without guidance count half."""
VERDICT = "the verdict"
COMPARED_PAIRS = 8
"""The pairs of times for the equal-time baseline: two short series and one for the record."""
FRESH_PROCESS_S = 15.0
"""The time until a fresh process has loaded its packages and the model."""


SHARES = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.0)
"""The shares of a verdict that are tried, the largest first, until what is left of the time suffices for one."""


class Extent(NamedTuple):
    """How much a verdict measures: the prompts that are scored, and the least pairs of times."""

    samples: int
    pairs: int


class Budget:
    """The trials, verdicts and seconds that a search may take. The clock starts when the object is made.

    The seconds are for everything that an answer needs: the profile, the trials, the verdict, the comparison with
    fewer steps in equal time and, with ``options.verified``, the verification. A search therefore ends earlier, by
    the estimated time of what follows. The estimate comes from the pace of a call at first, and then from the
    trials themselves.

    Attributes:
        max_trials: the number of trials that the search may take; None for as many as it wants.
        confirmations: the number of verdicts that it may take.
        ended: whether the budget ended the search, or a part of it, before its own end.
        notes: what the limit of time did to the answer: by how much the least exceeds it, and what is shorter.
    """

    def __init__(self, options: SearchOptions, batch_size: int) -> None:
        self._options, self._began = options, time.monotonic() - options.spent_s
        self._batch_size = batch_size
        self.max_trials, self.confirmations = options.max_trials, options.confirmations
        self.ended, self.notes = False, list[str]()
        self._verified = options.verified
        self._call_s, self._both_s = 0.0, 0.0  # of a call of the baseline, and of an image of baseline and plan

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float | None:
        """The seconds until the end of the time; None where there is no limit."""
        limit = self._options.max_time_s
        return None if limit is None else limit - self.elapsed_s

    @property
    def spare_s(self) -> float | None:
        """The seconds left without those reserved for what follows the search, at least 0; None where there is no
        limit."""
        left = self.left_s
        return (
            None
            if left is None
            else max(0.0, left - sum(self._after(self._whole, self._options.verified).values()))
        )

    @property
    def over(self) -> bool:
        """Whether all the time that is left is reserved for what follows the search."""
        return self.spare_s == 0

    def settle_for_less(self) -> None:
        """Leaves verdicts the time of a verification: no script is written of less than was asked for."""
        self._verified = False

    def verdict(self) -> Extent:
        """Returns how much of the next verdict the time allows, with the comparison and the verification of the
        same extent after it. It is never less than what an interval needs, and where it is not all of it, a note
        says so."""
        left, whole = self.left_s, self._whole
        if left is None:
            return whole
        extents = [self._part(share) for share in SHARES]
        found = next((e for e in extents if sum(self._after(e).values()) <= left), extents[-1])
        if found != whole:
            self.ended = True
            self._note_once(
                f"The verdict is on {found.samples} of {whole.samples} prompts, for want of time "
                f"({self._options.max_time_s:g} s): its intervals are wider, and more time narrows them."
            )
        return found

    def at_most(self, seconds: float, extent: Extent | None = None) -> float:
        """Returns so many seconds, or as many of them as can be spared for pairs of times beyond the least.

        Reserved are a verdict of that extent, or of the least, and what follows it.
        """
        left, reserved = self.left_s, self._after(extent or self._least)
        return seconds if left is None else min(seconds, max(0.0, left - sum(reserved.values())))

    def affords(self, images: int) -> bool:
        """Returns whether there is time for so many images of baseline and plan more, after a verdict."""
        left = self.left_s
        after = sum(seconds for name, seconds in self._after(self._least).items() if name != VERDICT)
        return left is None or images * self._both_s + after <= left

    def used(self, trials: int) -> bool:
        """Returns whether this number of trials uses up the budget."""
        return self.max_trials is not None and trials >= self.max_trials

    def narrow(self, trials: int, confirmations: int) -> None:
        """Lowers the numbers of trials and verdicts where the user gave neither a number of trials nor a time."""
        if self._options.max_trials is None and self._options.max_time_s is None:
            self.max_trials, self.confirmations = trials, min(confirmations, self.confirmations)

    def expect(self, call_s: float) -> None:
        """Sets the expected seconds of a call of the baseline, and of an image of each side from it."""
        self._call_s, self._both_s = call_s, 2 * call_s / self._batch_size

    def learn(self, trial: Trial, begun: Trial | None, seconds: float) -> None:
        """Corrects the estimate by a trial that took ``seconds``. It built on the trial ``begun``, where that is
        given. What takes less time an image than a call of the baseline does had the baseline's images at hand."""
        if trial.latency is None:
            return
        self._call_s = trial.latency.baseline_s
        timed_s = 0.0 if begun else sum(trial.latency.baseline_times_s) + sum(trial.latency.times_s)
        images = samples_of(trial.losses) - samples_of(begun.losses if begun else {})
        if images > 0:
            image_s, baseline_s = max(0.0, seconds - timed_s) / images, self._call_s / self._batch_size
            self._both_s = image_s if image_s > baseline_s else image_s + baseline_s

    def foresee(self, bench: Measures, store: Store, *, searched: bool, profiled: bool) -> str:
        """Measures the pace of a call where there is a limit of time, and compares what must be measured with the
        limit.

        Args:
            bench: measures the pace where the store has no profile.
            store: may have a profile.
            searched: whether a trial comes before the verdict.
            profiled: whether a profile comes before the trial.

        Returns:
            a sentence, also logged, that says by how much the least that must be measured exceeds the limit; ""
                where it does not.

        Raises:
            MeasurementError: the baseline itself fails.
        """
        left = self.left_s
        if left is None or not isinstance(bench, Bench):
            return ""
        profile, steps = store.profile(), bench.setting.steps
        pace = profiled_pace(profile) if profile else pace_of(bench.pipeline)
        self.expect(pace.call_s(steps))
        short_s = pace.call_s(min(PROFILED_STEPS, steps))
        parts = {"a profile": PROFILED_RUNS * short_s} if profiled and profile is None else {}
        parts |= {"one trial": self._measured(MIN_SAMPLES, self._options.search_pairs)} if searched else {}
        return self._told(parts | self._after(self._least))

    def _told(self, parts: Mapping[str, float]) -> str:
        needed, limit = sum(parts.values()), self._options.max_time_s
        left = self.left_s
        if left is None or needed <= left:
            return ""
        listed = ", ".join(f"{name} {_span(seconds)}" for name, seconds in parts.items())
        longer = f"about {_span(needed - left)} longer than the {limit:g} s that it may take"
        told = f"The answer takes {longer}, with as little as there can be of each: {listed}."
        self._note_once(told)
        logger.warning(told)
        return told

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    @property
    def _whole(self) -> Extent:
        return Extent(self._options.num_samples, self._options.pairs)

    @property
    def _least(self) -> Extent:
        return self._part(0.0)

    def _part(self, share: float) -> Extent:
        """Returns a share of a whole verdict, at least what an interval needs."""
        samples, pairs = self._whole
        least = min(FEW_PAIRS, pairs)
        return Extent(max(MIN_SAMPLES, int(share * samples)), max(least, int(share * pairs)))

    def _after(self, extent: Extent, verified: bool | None = None) -> dict[str, float]:
        """Returns the seconds of everything that follows a search, by its name.

        ``verified`` tells whether there is a verification; None stands for what is known of that now.
        """
        verdict = self._measured(*extent)
        fewer = extent.samples * self._both_s / 2 + 2 * (COMPARED_PAIRS + WARM_UP) * self._call_s
        parts = {VERDICT: verdict, "fewer steps in equal time": fewer}
        return parts | (
            {"the verification": FRESH_PROCESS_S + verdict}
            if verified or (verified is None and self._verified)
            else {}
        )

    def _measured(self, images: int, pairs: int) -> float:
        """Returns the seconds of a trial, including the baseline's images."""
        return images * self._both_s + 2 * (pairs + WARM_UP) * self._call_s


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
