"""The logic of a search on landscapes whose answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.landscape import SETTING, Landscape
from tests.support.marks import rarely

from hasten.errors import InputError, ParameterError, UnknownNameError, UnsupportedError
from hasten.measure.contract import TrialSpec
from hasten.plan import Plan
from hasten.search import Progress, SearchOptions, SearchResult, run_search
from hasten.search.options import Prefer
from hasten.task import Target, Task
from hasten.testing.pipelines import tiny_sd

DEEPCACHE = 16
LUCKY = Plan.parse("deepcache(cache_branch_id=0,cache_interval=5)")


def deepcache(p: Plan) -> tuple[int, int]:
    given = p.parameters["deepcache"]
    return int(given["cache_interval"]), int(given["cache_branch_id"])


def speed(p: Plan) -> float:
    """1.45x to 4.05x, each plan its own."""
    interval, branch = deepcache(p)
    return 1.0 + 0.6 * (interval - 1) + 0.05 * (3 - branch) * (interval - 1) + 0.05 * (3 - branch)


def cost(p: Plan) -> float:
    interval, branch = deepcache(p)
    return 0.004 * (interval - 1) + 0.002 * (3 - branch)


def landscape(**changes: Any) -> Landscape:
    return Landscape(**{"speedup": speed, "clip_loss": cost, **changes})


def task(target: Mapping[str, float] | None = None, limit: float = 0.02, **changes: Any) -> Task:
    known: dict[str, Any] = {"model": "landscape", "scheduler": "DDIM", "steps": 25, "methods": ("deepcache",)}
    return Task(**{**known, "target": target, "max_loss": {"clip_score": limit}, **changes})


def options(**changes: Any) -> SearchOptions:
    return SearchOptions(**{"storage": "memory", **changes})


def truth(limit: float) -> tuple[int, int]:
    """The fastest plan inside the limit, by trying all."""
    from hasten.predict.space import grid

    return deepcache(max((p for p in grid(["deepcache"]) if cost(p) < limit), key=speed))


def chosen(found: SearchResult) -> tuple[int, int]:
    assert found.confirmed
    return deepcache(found.confirmed.plan)


@pytest.mark.parametrize("limit", [0.0055, 0.0105, 0.0135, 0.03])
def test_the_upper_bound_is_the_fastest_inside_the_limit(limit: float) -> None:
    found = run_search(landscape(half_width=0.0001), task(limit=limit), options(strategy="traversal"))
    assert found.status == "met"
    assert chosen(found) == truth(limit)
    assert found.complete
    assert found.confirmed and found.confirmed.split == "held-out"


def test_plans_stronger_than_a_clearly_bad_one_are_never_measured() -> None:
    bench = landscape(half_width=0.0001)
    found = run_search(bench, task(limit=0.0055), options(strategy="traversal"))
    # (2, 2) costs 0.006 and rules out all that are stronger; (3, 3) costs 0.008 and rules out the rest.
    assert found.planned == DEEPCACHE
    assert {deepcache(t.plan) for t in found.trials} == {(2, 3), (2, 2), (3, 3)}
    assert found.pruned == DEEPCACHE - 3


def test_a_loss_that_is_not_clearly_outside_rules_nothing_out() -> None:
    found = run_search(landscape(half_width=0.05), task(limit=0.0055), options(strategy="traversal"))
    assert found.pruned == 0
    assert found.status == "likely"


def test_plans_slower_than_the_best_are_not_scored() -> None:
    bench = landscape(speedup=lambda p: 5.0 - speed(p), half_width=0.0001)
    found = run_search(bench, task(limit=0.5), options(strategy="traversal"))
    assert chosen(found) == (2, 3)
    statuses = [t.status for t in found.trials]
    assert statuses == ["ok"] + ["skipped"] * (len(statuses) - 1)
    assert bench.scored.count(str(found.trials[1].plan)) == 0


def pairs_of(found: SearchResult) -> dict[tuple[int, int], int]:
    return {deepcache(t.plan): len(t.latency.times_s) for t in found.trials if t.latency}


def test_a_plan_clearly_slower_than_the_best_is_timed_once() -> None:
    """Slower by less than a tenth, it is timed in all pairs."""
    speeds = {(2, 3): 3.0, (2, 2): 2.8, (2, 1): 2.7}
    bench = landscape(speedup=lambda p: speeds.get(deepcache(p), 2.0), half_width=0.0001)
    found = run_search(bench, task(limit=0.5), options(strategy="traversal", search_pairs=5))
    assert chosen(found) == (2, 3)
    timed = pairs_of(found)
    assert timed.pop((2, 3)) == timed.pop((2, 2)) == 5
    assert set(timed.values()) == {1}


def test_a_plan_clearly_under_the_target_is_timed_once() -> None:
    found = run_search(landscape(half_width=0.0001), task({"speedup": 2.2}), options(strategy="traversal"))
    assert pairs_of(found)[2, 3] == 1  # 1.6x
    assert pairs_of(found)[3, 3] == 3


def test_few_prompts_suffice_when_the_limit_is_far_and_all_when_it_is_near() -> None:
    found = run_search(landscape(half_width=0.002), task(limit=0.0105), options(strategy="traversal"))
    samples = {deepcache(t.plan): t.losses["clip_score"].samples for t in found.trials if t.losses}
    assert samples[2, 3] == 16
    assert samples[2, 0] == 32


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [("first", (3, 3)), ("closest", (3, 3)), ("best-quality", (3, 3)), ("fastest", (5, 2))],
)
def test_preferences_among_the_plans_that_meet_a_target(prefer: Prefer, expected: tuple[int, int]) -> None:
    bench = landscape(half_width=0.0001)
    found = run_search(bench, task({"speedup": 2.2}), options(strategy="traversal", prefer=prefer))
    assert (found.status, chosen(found)) == ("met", expected)


def test_closest_and_first_differ_where_the_order_does() -> None:
    def jumpy(p: Plan) -> float:
        return {(2, 3): 2.9, (3, 3): 3.5, (2, 2): 3.0}.get(deepcache(p), speed(p) / 3)

    for prefer, expected in (("first", (2, 2)), ("closest", (2, 2)), ("fastest", (3, 3))):
        found = run_search(
            landscape(speedup=jumpy, half_width=0.0001),
            task({"speedup": 2.95}),
            options(strategy="traversal", prefer=prefer),
        )
        assert chosen(found) == expected, prefer


def test_first_stops_at_the_first_that_meets() -> None:
    bench = landscape(half_width=0.0001)
    found = run_search(bench, task({"speedup": 1.6}), options(strategy="traversal"))
    assert chosen(found) == (2, 3)
    assert len(found.trials) == 1


def test_a_latency_target_is_seconds_an_image() -> None:
    found = run_search(landscape(half_width=0.0001), task({"latency_s": 0.4}), options(strategy="traversal"))
    assert found.confirmed and found.confirmed.latency
    assert found.confirmed.latency.plan_s <= 0.4
    assert chosen(found) == (3, 1)


def test_out_of_reach_names_the_best_inside_the_limit() -> None:
    bench = landscape(half_width=0.0001)
    found = run_search(bench, task({"speedup": 50}, limit=0.0135), options(strategy="traversal"))
    assert found.status == "infeasible"
    assert found.confirmed is None and found.best is not None
    assert deepcache(found.best.plan) == truth(0.0135)
    assert found.best.split == "held-out"
    assert found.reason.startswith("50x is out of reach here; the best within 0.02 is ".replace("0.02", "0.0135"))
    assert str(found.best.plan) in found.reason
    assert found.equal_time is not None
    # All are too slow, so none is scored until the fallback, which begins with the fastest.
    assert bench.scored[0] == "deepcache(cache_branch_id=0,cache_interval=5)"


def test_nothing_inside_the_limit_has_no_best() -> None:
    found = run_search(landscape(clip_loss=lambda p: 0.3), task({"speedup": 2}), options(strategy="traversal"))
    assert (found.status, found.best, found.confirmed) == ("infeasible", None, None)
    assert "no plan that was measured stays within 0.02" in found.reason


def test_an_upper_bound_below_one_is_infeasible() -> None:
    found = run_search(
        landscape(speedup=lambda p: 0.9 + 0.01 * deepcache(p)[0]), task(), options(strategy="traversal")
    )
    assert found.status == "infeasible"
    assert found.best and found.best.speedup == pytest.approx(0.95)


def test_held_out_prompts_decide_and_the_search_goes_on_without_the_lucky_one() -> None:
    lucky = (5, 0)

    def held_out(p: Plan) -> float:
        return 0.5 if deepcache(p) == lucky else 0.001

    bench = landscape(clip_loss=lambda p: 0.001, held_out=held_out)
    found = run_search(bench, task(), options(strategy="traversal"))
    assert found.status == "met"
    assert chosen(found) == (5, 1)
    assert [str(plan) for plan in found.rejected] == ["deepcache(cache_branch_id=0,cache_interval=5)"]
    assert "clip_score loss 0.5000, limit 0.02" in next(iter(found.rejected.values()))
    assert max(bench.measured.values()) == 1 or bench.measured[str(next(iter(found.rejected))), "search"] == 1


@dataclass
class Timed(Landscape):
    """Keeps how many pairs of times each held-out trial took."""

    pairs: list[tuple[tuple[int, int], int]] = field(default_factory=list)

    def trial(self, plan: Plan, spec: TrialSpec, **given: Any) -> Any:
        found = super().trial(plan, spec, **given)
        if spec.split == "held-out":
            self.pairs.append((deepcache(plan), len(found.latency.times_s)))
        return found


def test_a_plan_that_held_out_prompts_reject_is_timed_in_few_pairs() -> None:
    bench = Timed(speedup=speed, clip_loss=lambda p: 0.001, held_out=lambda p: 0.5 if p == LUCKY else 0.001)
    found = run_search(bench, task(), options(strategy="traversal", pairs=5))
    assert (found.status, chosen(found)) == ("met", (5, 1))
    assert bench.pairs == [((5, 0), 3), ((5, 1), 20)]


def test_what_was_timed_in_few_pairs_is_timed_anew_for_a_limit_that_it_keeps(tmp_path: Path) -> None:
    bench = Timed(speedup=speed, clip_loss=lambda p: 0.001, held_out=lambda p: 0.03 if p == LUCKY else 0.001)
    kept = options(strategy="traversal", pairs=5, storage=str(tmp_path / "trials.db"))
    run_search(bench, task(), kept)
    assert chosen(run_search(bench, task(limit=0.1), kept)) == (5, 0)
    assert bench.pairs == [((5, 0), 3), ((5, 1), 20), ((5, 0), 20)]
    assert chosen(run_search(bench, task(), kept)) == (5, 1), "rejected as before"
    assert len(bench.pairs) == 3


def test_given_parameters_over_the_limit_are_timed_in_all_pairs() -> None:
    bench = Timed(speedup=speed, clip_loss=lambda p: 0.001, held_out=lambda p: 0.5)
    found = run_search(bench, task(parameters=LUCKY.parameters), options(pairs=5))
    assert (found.status, bench.pairs) == ("infeasible", [((5, 0), 20)])


def test_after_a_rejection_plans_whose_interval_is_inside_come_first() -> None:
    searched = {2: 0.005, 3: 0.01, 4: 0.019, 5: 0.0195}  # ± 0.002: by their means 4 and 5 are inside 0.02

    def clip_loss(p: Plan) -> float:
        return searched[deepcache(p)[0]]

    bench = landscape(clip_loss=clip_loss, held_out=lambda p: 0.03 if deepcache(p)[0] > 3 else clip_loss(p))
    found = run_search(bench, task(), options(strategy="traversal"))
    assert (found.status, chosen(found)) == ("met", (3, 0))
    assert [str(plan) for plan in found.rejected] == ["deepcache(cache_branch_id=0,cache_interval=5)"]


def test_slower_plans_that_were_skipped_get_their_chance_after_a_rejection() -> None:
    def held_out(p: Plan) -> float:
        return 0.5 if deepcache(p) == (2, 3) else 0.001

    bench = landscape(speedup=lambda p: 6.0 - speed(p), clip_loss=lambda p: 0.001, held_out=held_out)
    found = run_search(bench, task(), options(strategy="traversal"))
    assert chosen(found) == (2, 2)


def test_after_a_rejection_skipped_plans_are_scored_though_the_budget_is_used_up() -> None:
    def held_out(p: Plan) -> float:
        return 0.5 if deepcache(p) == (2, 3) else 0.001

    bench = landscape(speedup=lambda p: 6.0 - speed(p), clip_loss=lambda p: 0.001, held_out=held_out)
    found = run_search(bench, task(), options(strategy="traversal", max_trials=3))
    assert (chosen(found), len(found.trials)) == ((2, 2), 3)


def test_a_plan_that_was_only_too_slow_is_still_the_best_inside_the_limit() -> None:
    """On held-out prompts it misses the target, but not the limit."""

    class Slower(Landscape):
        def trial(self, plan: Plan, spec: TrialSpec, **given: Any) -> Any:
            self.speedup = (lambda p: 2.9) if spec.split == "held-out" else speed
            return super().trial(plan, spec, **given)

    bench = Slower(speedup=speed, clip_loss=cost, half_width=0.0001)
    found = run_search(bench, task({"speedup": 3}, limit=0.0165), options(strategy="traversal"))
    assert found.status == "infeasible"
    assert found.best and deepcache(found.best.plan) == truth(0.0165)
    assert found.best.speedup == 2.9
    assert max(bench.measured.values()) <= 2  # twice where a single pair had been enough against a faster one


class Disappointing(Landscape):
    """One plan's speedup is another one when it is measured again."""

    plan, speedup_again = (5, 0), 2.0

    def trial(self, plan: Plan, spec: TrialSpec, **given: Any) -> Any:
        fooled = spec.split == "held-out" and deepcache(plan) == self.plan
        self.speedup = (lambda p: self.speedup_again) if fooled else speed
        return super().trial(plan, spec, **given)


def test_a_confirmed_plan_that_lost_its_speed_gives_way_to_a_faster_one() -> None:
    bench = Disappointing(speedup=speed, clip_loss=lambda p: 0.001)
    found = run_search(bench, task(), options(strategy="traversal"))
    assert (found.status, chosen(found)) == ("met", (5, 1))
    assert not found.rejected


def test_of_all_that_meet_a_target_the_first_confirmed_is_the_answer_unless_times_decide() -> None:
    bench = Disappointing(speedup=speed, clip_loss=lambda p: 0.001)
    found = run_search(bench, task({"speedup": 1.9}), options(strategy="traversal", prefer="first"))
    assert found.confirmed
    assert sum(n for (_, split), n in bench.measured.items() if split == "held-out") == 1


def test_candidates_are_given_up_after_so_many_confirmations() -> None:
    bench = landscape(clip_loss=lambda p: 0.001, held_out=lambda p: 0.5)
    found = run_search(bench, task(), options(strategy="traversal", confirmations=3))
    assert found.status == "infeasible"
    assert len(found.rejected) == 3
    assert sum(n for (_, split), n in bench.measured.items() if split == "held-out") == 3


def test_every_verdict_has_held_out_images_of_its_own() -> None:
    seen: list[tuple[str, int]] = []

    class Watched(Landscape):
        def trial(self, plan: Plan, spec: TrialSpec, **given: Any) -> Any:
            if spec.split == "held-out":
                seen.append((str(plan), spec.offset))
            return super().trial(plan, spec, **given)

    def held_out(p: Plan) -> float:
        return 0.5 if deepcache(p) in {(5, 0), (5, 1), (5, 2)} else 0.001

    bench = Watched(speedup=speed, clip_loss=lambda p: 0.001, held_out=held_out)
    found = run_search(bench, task(), options(strategy="traversal", confirmations=9))
    assert [offset for _, offset in seen] == [32 * i for i in range(len(seen))]
    assert len(seen) == len({plan for plan, _ in seen}) == 4
    assert found.confirmed and found.equal_time
    assert found.equal_time.trial.offset == found.confirmed.offset == 96


def test_likely_when_only_the_mean_is_inside() -> None:
    found = run_search(landscape(half_width=0.03), task({"speedup": 1.6}), options(strategy="traversal"))
    assert found.status == "likely"


@pytest.mark.parametrize("strategy", ["traversal", "guided"])
def test_a_surer_plan_is_looked_for_where_the_first_is_only_likely(strategy: str) -> None:
    """Branch 3 is close to the limit in the verdict, whatever the search thinks of it."""

    def loss(plan: Plan) -> float:
        return 0.017 if deepcache(plan)[1] == 3 else 0.009

    bench = landscape(clip_loss=lambda p: 0.009, held_out=loss, half_width=0.008)
    found = run_search(bench, task({"speedup": 1.05}), options(strategy=strategy))
    assert found.status == "met"
    assert chosen(found)[1] != 3
    assert not found.rejected


def test_a_likely_plan_is_taken_where_no_surer_one_is_found() -> None:
    bench = landscape(clip_loss=lambda p: 0.017 if deepcache(p) == (2, 3) else 0.03, half_width=0.008)
    found = run_search(bench, task({"speedup": 1.05}), options(strategy="traversal"))
    assert found.status == "likely"
    assert chosen(found) == (2, 3)


def test_a_rise_beyond_the_limit_is_no_candidate_where_both_sides_count() -> None:
    """Interval 2 raises the score by 0.03: that is met on one side, and over the limit on both."""
    bench = landscape(clip_loss=lambda p: -0.03 if deepcache(p)[0] == 2 else 0.1)
    asked = {"speedup": 1.6}
    assert run_search(bench, task(asked), options(strategy="traversal")).status == "met"
    both = run_search(bench, task(asked, two_sided=True), options(strategy="traversal"))
    assert both.status == "infeasible" and "0.02 either way" in both.reason


def test_failed_trials_are_kept_and_the_search_goes_on() -> None:
    bench = landscape(fails=lambda p: deepcache(p)[0] == 5, half_width=0.0001)
    found = run_search(bench, task(), options(strategy="traversal"))
    assert chosen(found) == (4, 0)
    failed = [t for t in found.trials if t.status == "failed"]
    assert len(failed) == 4 and all(t.reason == "NaN or infinite pixels" for t in failed)


def test_failed_when_every_plan_fails() -> None:
    found = run_search(landscape(fails=lambda p: True), task(), options(strategy="traversal"))
    assert found.status == "failed"
    assert "NaN or infinite pixels" in found.reason


def test_the_budget_of_trials_ends_the_search_and_the_answer_says_so() -> None:
    found = run_search(landscape(), task({"speedup": 3.9}), options(strategy="traversal", max_trials=5))
    assert len(found.trials) == 5
    assert not found.complete
    assert found.status == "undecided", "eleven plans were not looked at"
    assert "3.9x was not found within 5 trials, which is not all of the grid; so far the best" in found.reason
    assert found.best is not None and found.best.split == "held-out"


@pytest.mark.parametrize("strategy", ["traversal", "guided", "random"])
@pytest.mark.parametrize("asked", [{"speedup": 4.5}, None])
def test_a_budget_of_time_that_is_used_up_at_once_still_measures_a_trial_and_a_verdict(
    strategy: str, asked: dict[str, float] | None
) -> None:
    bench = landscape()
    found = run_search(bench, task(asked, limit=0.05), options(strategy=strategy, max_time_s=1e-9))
    assert len(found.trials) == 1 and not found.complete
    assert [split for _, split in bench.measured] == ["search", "held-out"]
    if asked:
        assert found.status == "undecided" and "not found within 1 trial and 1e-09 s" in found.reason
        assert found.best is not None and str(found.best.plan) in found.reason
    else:
        assert found.status == "met" and "The best of 1 of 16 plans" in found.reason


@pytest.mark.parametrize(
    ("limit_s", "verified", "trials"), [(30, False, 1), (40, False, 16), (60, True, 1), (70, True, 16)]
)
def test_the_time_for_the_verdict_and_what_follows_it_is_kept_free(
    limit_s: float, verified: bool, trials: int
) -> None:
    """A call of the baseline lasts a second: 16 s for a verdict, 18 for the comparison, 31 in a fresh process."""
    how = options(strategy="traversal", max_time_s=limit_s, verified=verified)
    assert len(run_search(landscape(), task({"speedup": 9}), how).trials) == trials


def test_no_second_verdict_is_begun_when_the_time_is_over() -> None:
    bench = landscape(clip_loss=lambda p: 0.001, held_out=lambda p: 0.5)
    found = run_search(bench, task({"speedup": 1.2}), options(strategy="guided", max_time_s=1e-9))
    assert sum(n for (_, split), n in bench.measured.items() if split == "held-out") == 1
    assert (found.status, found.best) == ("undecided", None)
    assert "within 0.02" in found.reason


def test_a_grid_that_was_tried_to_its_end_is_infeasible_whatever_the_budget() -> None:
    for strategy in ("traversal", "guided"):
        found = run_search(landscape(), task({"speedup": 9}), options(strategy=strategy, max_trials=DEEPCACHE))
        assert found.status == "infeasible" and found.reason.startswith("9x is out of reach here")
        assert found.complete


def test_an_upper_bound_from_part_of_the_grid_says_so() -> None:
    found = run_search(landscape(), task(), options(strategy="traversal", max_trials=3))
    assert (found.status, found.complete) == ("met", False)
    assert found.reason == "The best of 3 of 16 plans: the budget was used up."


def test_a_strategy_that_lacks_its_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_scipy(**_: Any) -> None:
        raise ImportError("scipy")

    monkeypatch.setattr("hasten.search.strategies.GPSampler", without_scipy)
    bench = landscape()
    with pytest.raises(InputError, match=r"pip install 'hasten\[gp\]'"):
        run_search(bench, task(), options(strategy="gp"))
    assert not bench.scored


@pytest.mark.parametrize(
    "strategy", ["tpe", *(pytest.param(name, marks=rarely()) for name in ("random", "nsga2", "gp"))]
)
def test_sampled_strategies_find_the_bound_of_a_small_grid(strategy: str) -> None:
    found = run_search(
        landscape(half_width=0.0001), task(limit=0.0135), options(strategy=strategy, max_trials=200, seed=1)
    )
    assert found.status == "met"
    assert chosen(found) == truth(0.0135)


def test_sampled_strategies_repeat_with_their_seed_and_keep_to_their_budget() -> None:
    def plans(seed: int) -> list[str]:
        found = run_search(
            Landscape(speedup=lambda p: 2.0, clip_loss=lambda p: 0.05, half_width=0.1),
            task(methods=("tgate",)),
            options(strategy="random", max_trials=30, seed=seed),
        )
        return [t.plan for t in found.trials]

    assert plans(0) == plans(0)
    assert plans(0) != plans(1)
    assert len(plans(0)) == len(set(plans(0))) == 30


def test_by_default_a_search_is_guided() -> None:
    def plans(**how: Any) -> list[str]:
        return [t.plan for t in run_search(landscape(), task(), options(max_trials=6, **how)).trials]

    assert plans() == plans(strategy="guided") != plans(strategy="traversal")


def test_given_parameters_are_measured_on_held_out_prompts_and_judged() -> None:
    given = task(parameters={"deepcache": {"cache_interval": 3}})
    found = run_search(landscape(), given, options())
    assert (found.status, chosen(found)) == ("met", (3, 0))
    assert [t.split for t in found.trials] == ["held-out"]
    over = run_search(landscape(clip_loss=lambda p: 0.1), given, options())
    assert over.status == "infeasible"
    assert "clip_score loss 0.1000, limit 0.02" in over.reason


def test_a_plain_pipeline_is_measured_and_met() -> None:
    found = run_search(landscape(speedup=lambda p: 1.0, clip_loss=lambda p: 0.0), task(methods=()), options())
    assert (found.status, found.confirmed and found.confirmed.plan, found.equal_time) == ("met", Plan(), None)


def test_fixed_parameters_and_a_target_search_the_rest() -> None:
    wanted = task({"speedup": 2.2}, parameters={"deepcache": {"cache_branch_id": 2}})
    found = run_search(landscape(half_width=0.0001), wanted, options(strategy="traversal"))
    assert chosen(found) == (3, 2)
    assert found.planned == 4


def test_any_method_tries_subsets_by_increasing_size() -> None:
    def fast(p: Plan) -> float:
        numbers = (x for given in p.parameters.values() for x in given.values() if not isinstance(x, str))
        first = 2.0 if "schedule" in p.methods else 1.0
        return first + 0.1 * len(p.methods) + 0.01 * sum(numbers)

    def loss(p: Plan) -> float:
        return 0.5 if "schedule" in p.methods else 0.001 * len(p.methods)  # so that its grid is soon closed

    bench = Landscape(speedup=fast, clip_loss=loss, pipe=tiny_sd())
    found = run_search(bench, task({"speedup": 1.2}, methods=None), options(strategy="traversal", max_trials=400))
    sizes = [len(t.plan.methods) for t in found.trials]
    assert sizes == sorted(sizes)
    assert found.status == "met"


def test_progress_counts_up_to_what_was_planned() -> None:
    seen: list[Progress] = []
    wanted = options(strategy="traversal")
    found = run_search(landscape(half_width=0.0001), task(limit=0.0135), wanted, progress=seen.append)
    searching = [p for p in seen if p.stage == "search"]
    assert searching[0].done == 0
    assert [p.done for p in searching] == list(range(len(searching)))
    assert all(p.planned == DEEPCACHE for p in seen)
    last = searching[-1]
    assert last.done + last.pruned == DEEPCACHE
    assert last.best is not None and found.chosen is not None and last.best.plan == found.chosen.plan
    assert [p.stage for p in seen[len(searching) :]] == ["confirm", "compare"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"methods": ("deepcash",)}, UnknownNameError, "deepcache"),
        ({"parameters": {"deepcache": {"cache_interval": 0}}}, ParameterError, "cache_interval"),
        ({"parameters": {"deepcache": {"interval": 2}}}, ParameterError, "interval"),
        ({"parameters": {"tome": {"ratio": 1.2}}, "methods": ("tome",)}, ParameterError, "ratio"),
        ({"max_loss": {"sim": 0.2}}, UnknownNameError, "ssim"),
        ({"target": Target(speedup=1)}, InputError, "The target is 1x, which the plain pipeline has already"),
    ],
)
def test_bad_methods_and_parameters_are_refused_before_measuring(
    changes: dict[str, Any], error: type[InputError], words: str
) -> None:
    bench = landscape(pipe=tiny_sd())
    with pytest.raises(error, match=words):
        run_search(bench, task({"speedup": 2}).model_copy(update=changes), options())
    assert not bench.measured


def test_a_metric_that_cannot_score_such_images_is_refused_before_measuring() -> None:
    bench = landscape(pipe=tiny_sd(), setting=replace(SETTING, height=16, width=16))
    with pytest.raises(InputError, match="16x16 pixels: ms_ssim needs 22"):
        run_search(bench, task({"speedup": 2}, max_loss={"clip_score": 0.02, "ms_ssim": 0.1}), options())
    assert not bench.measured


def test_a_request_for_nothing_is_refused() -> None:
    nothing = task({"speedup": 2}, parameters={"deepcache": {"cache_interval": 1}})
    bench = landscape(pipe=tiny_sd())
    with pytest.raises(InputError, match="plain pipeline"):
        run_search(bench, nothing, options())
    assert not bench.measured


def test_a_model_that_a_method_cannot_take_is_refused() -> None:
    class Transformer:
        transformer = object()

    with pytest.raises(UnsupportedError):
        run_search(landscape(pipe=Transformer()), task({"speedup": 2}), options())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "traversl"}, "traversal"),
        ({"prefer": "best"}, "best-quality"),
        ({"max_trials": 0}, "max_trials is 0"),
        ({"num_samples": 4}, "num_samples is 4"),
        ({"max_time_s": 0}, "max_time_s is 0"),
        ({"pairs": 0}, "pairs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"confidence": 0.3}, "confidence is 0.3: it must be from 0.5 to 0.999"),
    ],
)
def test_options_are_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SearchOptions(**changes)
