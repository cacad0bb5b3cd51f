"""Converts a trial to Optuna's form, so that Optuna's dashboard and samplers can read what hasten measured."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hasten.methods import METHODS
from hasten.plan import Plan, steps_of
from hasten.records import Trial

ATTRIBUTE = "trial"
STATES = {"ok": TrialState.COMPLETE, "skipped": TrialState.PRUNED, "failed": TrialState.FAIL}


def frozen(trial: Trial) -> FrozenTrial:
    """Returns the trial in Optuna's form. Its two values are the speedup and the loss, so that the dashboard draws
    the front."""
    params, distributions = _space(trial.plan)
    made = create_trial(
        state=STATES[trial.status],
        values=[trial.speedup, _headline(trial)] if trial.status == "ok" else None,
        params=params,
        distributions=distributions,
        user_attrs={ATTRIBUTE: trial.model_dump_json(), "plan": str(trial.plan), "split": trial.split},
    )
    made.datetime_complete = datetime.now()
    made.datetime_start = made.datetime_complete - timedelta(seconds=trial.seconds)
    return made


def _headline(trial: Trial) -> float:
    metric = "clip_score" if "clip_score" in trial.losses else min(trial.losses)
    return trial.losses[metric].loss


def _space(plan: Plan) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for method, given in plan.parameters.items():
        for p in METHODS.get(method).parameters():
            if (value := given.get(p.name)) is None:
                continue
            if p.kind is str and p.allowed:
                params[f"{method}.{p.name}"] = value
                distributions[f"{method}.{p.name}"] = CategoricalDistribution(p.allowed)
                continue
            # Optuna knows no lists of steps, so that the number of steps stands for the list.
            shown = float(len(steps_of(value)) if p.kind is str else value)
            kind, number = (FloatDistribution, float) if p.kind is float else (IntDistribution, int)
            params[f"{method}.{p.name}"] = number(shown)
            low, high = number(min(p.low, shown)), number(max(p.high, shown))
            distributions[f"{method}.{p.name}"] = kind(low, high)  # type: ignore[arg-type]
    return params, distributions
