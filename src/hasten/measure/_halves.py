"""What the timed runs of a profile tell of one half: with guidance, or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hasten.measure._hooks import Key, Run, outside_s, parts_s
from hasten.measure._runs import Runs
from hasten.measure.merging import merged_share
from hasten.measure.pieces import seconds_of
from hasten.methods import work
from hasten.plan import Plan

Seconds = Mapping[Plan, Mapping[Key, float]]
"""Of each part a call of the denoiser, by plan: the baseline, and the probes for parts that merge there."""


def tokens_of(runs: Runs) -> dict[str, int]:
    """How many tokens each self-attention's layer has."""
    return runs.hooked["full", Plan()][0].tokens


def ratios_of(runs: Runs, probe: Plan) -> Mapping[str, float]:
    """Which share of its tokens each block merges at a probe."""
    return work(probe, runs.pipeline.pipe, 1)[0].merged


def hook_cost_s(hooked: Sequence[Run], plain_s: float) -> float:
    """Seconds that a hooked module takes, from what runs with hooks take beyond a plain one.

    All hooks together are believed to take at most half of what the parts take with them. More is other work that
    disturbed the runs with hooks, and subtracting it would leave nothing of the parts.
    """
    first, parts = hooked[0], parts_s(hooked, 0.0)
    beyond_s = seconds_of([run.pieces_s for run in hooked]) - plain_s
    most_s = sum(parts.values()) / 2 * first.calls / sum(first.hooks(key) for key in parts)
    return min(max(0.0, beyond_s) / sum(first.modules.values()), most_s)


class Half:
    """What the runs of one half tell, all of it scaled so that it sums to what a run without hooks takes.

    ``outside``: seconds once a run, and between two calls of the denoiser. ``latency_s`` is that of a run in which
    a GPU has come to its pace.
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
        """Of the parts, where that lies between two calls."""
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
        """The hooked seconds at a probe, scaled: those that merge then sum to what they take in the baseline and
        what the plain run at the probe takes beyond its own."""
        tokens, ratios = tokens_of(self._runs), ratios_of(self._runs, probe)
        attentions = [key for key in merging if key[1] == "self_attention"]
        those = [key for key in attentions if merged_share(key[0], tokens[key[0]], ratios)]
        beyond_s = self._call_s(probe) - self._call_s(Plan())
        wanted_s = max(0.0, sum(without[key] for key in those) + beyond_s)
        scale = wanted_s / sum(merging[key] for key in those) if those else 1.0
        return {key: scale * seconds for key, seconds in merging.items()}

    def _call_s(self, plan: Plan) -> float:
        """Seconds from one call of the denoiser to the next, in runs without hooks."""
        plain_s = seconds_of(self._runs.plain[self._name, plan])
        return (plain_s - self._once_s) / self.calls * self._runs.pace(self._name, plan)
