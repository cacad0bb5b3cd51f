"""Evaluates the timed runs of a profile for one half: with guidance, or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hasten.measure._part_times import Key, Run, outside_s, parts_s
from hasten.measure._runs import Runs
from hasten.measure.merging import merged_share
from hasten.measure.stepwise import seconds_of
from hasten.methods import work
from hasten.plan import Plan

Seconds = Mapping[Plan, Mapping[Key, float]]
"""The seconds of each part per call of the denoiser, by plan: the baseline, and the probes at which parts merge
tokens."""


def tokens_of(runs: Runs) -> dict[str, int]:
    """Returns the number of tokens of each self-attention's layer."""
    return runs.hooked["full", Plan()][0].tokens


def ratios_of(runs: Runs, probe: Plan) -> Mapping[str, float]:
    """Returns the share of its tokens that each block merges at a probe."""
    return work(probe, runs.pipeline.pipe, 1)[0].merged


def hook_cost_s(hooked: Sequence[Run], plain_s: float) -> float:
    """Returns the seconds that a hooked module costs, from the excess of runs with hooks over plain ones.

    The cost of all hooks is limited to half of the parts' times with hooks. A larger excess comes from other work
    that disturbed those runs, and subtracting it would leave nothing of the parts.
    """
    first, parts = hooked[0], parts_s(hooked, 0.0)
    beyond_s = seconds_of([run.pieces_s for run in hooked]) - plain_s
    most_s = sum(parts.values()) / 2 * first.calls / sum(first.hooks(key) for key in parts)
    return min(max(0.0, beyond_s) / sum(first.modules.values()), most_s)


class Half:
    """The times of one half, scaled so that they sum to the time of a run without hooks.

    ``outside`` has the seconds per run, and those between two calls of the denoiser. ``latency_s`` is the time of
    a run in which a GPU has reached its steady pace.
    """

    def __init__(self, runs: Runs, name: str) -> None:
        hooked, plain_s = runs.hooked[name, Plan()], seconds_of(runs.plain[name, Plan()])
        self._runs, self._name, self.calls = runs, name, hooked[0].calls
        self.hook_s = hook_cost_s(hooked, plain_s)
        self._hooked = {plan: parts_s(runs.hooked[name, plan], self.hook_s) for plan in (Plan(), *runs.probes)}
        outside = outside_s(hooked, self.hook_s)
        once_s = outside["text"] + outside["decode"] + outside["rest"]
        scale = plain_s / (once_s + self.calls * (outside["between"] + sum(self._hooked[Plan()].values())))
        self.outside = {what: scale * seconds for what, seconds in outside.items()}
        self._once_s = scale * once_s
        self.latency_s = self._once_s + self.calls * self._call_s(Plan())

    def seconds(self, between_s: float) -> Seconds:
        """Returns the seconds of the parts, given the seconds between two calls of the denoiser."""
        hooked = self._hooked[Plan()]
        scale = (self._call_s(Plan()) - between_s) / sum(hooked.values())
        found = {plan: {key: scale * s for key, s in own.items()} for plan, own in self._hooked.items()}
        for probe in self._runs.probes:
            if (self._name, probe) in self._runs.plain:
                found[probe] = self._corrected(found[Plan()], found[probe], probe)
        return found

    def _corrected(
        self, without: Mapping[Key, float], merging: Mapping[Key, float], probe: Plan
    ) -> dict[Key, float]:
        """Returns the hooked seconds at a probe, scaled for the parts that merge tokens.

        Their sum becomes their time in the baseline plus the excess of the plain run at the probe over the
        baseline's.
        """
        tokens, ratios = tokens_of(self._runs), ratios_of(self._runs, probe)
        attentions = [key for key in merging if key[1] == "self_attention"]
        merged = [key for key in attentions if merged_share(key[0], tokens[key[0]], ratios)]
        beyond_s = self._call_s(probe) - self._call_s(Plan())
        wanted_s = max(0.0, sum(without[key] for key in merged) + beyond_s)
        scale = wanted_s / sum(merging[key] for key in merged) if merged else 1.0
        return {key: scale * seconds for key, seconds in merging.items()}

    def _call_s(self, plan: Plan) -> float:
        """Returns the seconds from one call of the denoiser to the next, in runs without hooks."""
        plain_s = seconds_of(self._runs.plain[self._name, plan])
        return (plain_s - self._once_s) / self.calls * self._runs.pace(self._name, plan)
