"""Keeps trials so that none that was finished is lost or measured twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from hasten.limits import Limits
from hasten.measure.blocks import BlockProfile
from hasten.measure.identity.names import WIDE
from hasten.measure.sensitivity import Sensitivity
from hasten.measure.stats import CONFIDENCE, at_confidence
from hasten.methods import METHODS
from hasten.plan import Plan, steps_of
from hasten.records import Bound, EqualTime, Split, Trial
from hasten.store._faults import Kept, reached, read
from hasten.store.database import open_database, storage_url
from hasten.task import Setting

CLASS, SCHEDULER = "class", "scheduler"
"""The entries of an identity that say what is in the setting, too: the pipeline's class and its scheduler."""
ATTRIBUTE, PROFILE, SENSITIVITY = "trial", "block profile", "step sensitivity"
SCHEMA = 1
STATES = {"ok": TrialState.COMPLETE, "skipped": TrialState.PRUNED, "failed": TrialState.FAIL}


class Store:
    """The trials of one setting in one environment, a study for each set of methods.

    The studies know no limit and no target, so a later search with others finds the same trials. A trial is
    written when it is finished, in one transaction: killed at any moment, the store holds all finished
    trials and nothing half done. Several processes may share it.

    Args:
        storage: URL, path of an SQLite file, ``memory``, or None for the default.
        setting: what is measured.
        identity: everything else that makes trials comparable: the environment, the scorer, the seed.
        confidence: of the intervals of what is read; those of another are computed anew from the raw figures.
    """

    def __init__(
        self,
        storage: str | None,
        setting: Setting,
        identity: Mapping[str, Any],
        confidence: float = CONFIDENCE,
    ) -> None:
        self.setting, self.identity, self.confidence = setting, dict(identity), confidence
        self.url = storage_url(storage)
        self._storage = open_database(storage)
        self._studies: dict[tuple[str, ...], Study] = {}
        self._read: dict[tuple[str, ...], int] = {}
        self._found: dict[tuple[str, Split], list[Trial]] = {}

    def find(self, plan: Plan, split: Split = "search") -> Trial | None:
        """The latest finished trial of the plan on that split, or None."""
        return next(reversed(self.history(plan, split)), None)

    @reached
    def history(self, plan: Plan, split: Split = "search") -> tuple[Trial, ...]:
        """All finished trials of the plan on that split, the latest last: of one that was scored a few prompts at
        a time each goes on from the one before."""
        self._refresh(plan.methods)
        return tuple(self._found.get((str(plan), split), ()))

    @reached
    def add(self, trial: Trial) -> None:
        """Keeps a finished trial, in one transaction."""
        self._study(Plan.parse(trial.plan).methods).add_trial(_to_optuna(trial))

    @reached
    def trials(self, methods: Iterable[str], split: Split = "search") -> tuple[Trial, ...]:
        """The latest trial of each plan of exactly these methods on that split."""
        methods = tuple(methods)
        self._refresh(methods)
        kept = (found[-1] for (_, of), found in self._found.items() if of == split)
        return tuple(t for t in kept if Plan.parse(t.plan).methods == methods)

    @reached
    def elsewhere(self, methods: Iterable[str]) -> tuple[Trial, ...]:
        """The search trials of exactly these methods in settings that differ in scheduler and steps only."""
        methods, found = tuple(methods), list[Trial]()
        for other in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
            if self._alike(other.user_attrs, other.study_name, methods):
                frozen = optuna.load_study(study_name=other.study_name, storage=self._storage).get_trials(False)
                kept = (f.user_attrs for f in frozen if f.user_attrs.get("split") == "search")
                latest = {attributes["plan"]: attributes[ATTRIBUTE] for attributes in kept}
                found += (self._read_trial(kept, other.study_name) for kept in latest.values())
        return tuple(found)

    @reached
    def bound(self, methods: Iterable[str] | None, limits: Limits, samples: int) -> Bound | None:
        """The upper bound of these methods (None: any) within these limits, measured on so many prompts."""
        study = self._study(_named(methods))
        return self._kept(Bound, study, self._bound_key(limits, samples))

    @reached
    def keep_bound(self, methods: Iterable[str] | None, limits: Limits, samples: int, bound: Bound) -> None:
        """Keeps an upper bound in the place of an earlier one."""
        self._study(_named(methods)).set_user_attr(self._bound_key(limits, samples), bound.model_dump_json())

    @reached
    def equal_time(self, plan: Plan) -> EqualTime | None:
        """The equal-time baseline that was measured for the plan's verdict last."""
        found = self._kept(EqualTime, self._study(plan.methods), f"equal time {plan}")
        if found is None:
            return None
        return found.model_copy(update={"trial": at_confidence(found.trial, self.confidence)})

    @reached
    def keep_equal_time(self, plan: Plan, found: EqualTime) -> None:
        """Keeps the equal-time baseline of a plan's verdict in the place of an earlier one."""
        self._study(plan.methods).set_user_attr(f"equal time {plan}", found.model_dump_json())

    @reached
    def profile(self) -> BlockProfile | None:
        """The baseline's profile, if one was kept."""
        return self._kept(BlockProfile, self._study(()), PROFILE)

    @reached
    def keep_profile(self, profile: BlockProfile) -> None:
        """Keeps the baseline's profile in the place of an earlier one."""
        self._study(()).set_user_attr(PROFILE, profile.model_dump_json())

    @reached
    def sensitivity(self) -> Sensitivity | None:
        """What reuse was measured to cost, if that was kept."""
        return self._kept(Sensitivity, self._study(()), SENSITIVITY)

    @reached
    def keep_sensitivity(self, found: Sensitivity) -> None:
        """Keeps what reuse costs in the place of an earlier measurement."""
        self._study(()).set_user_attr(SENSITIVITY, found.model_dump_json())

    def study_name(self, methods: Iterable[str]) -> str:
        """Readable, with a hash of all that sets its trials apart."""
        return self._name(self.setting, self.identity, tuple(methods))

    def _name(self, s: Setting, identity: Mapping[str, Any], methods: tuple[str, ...]) -> str:
        """An identity that has the pipeline's class says what the model is: from which folder it came, or under
        what name, makes no other study."""
        named = s if CLASS not in identity else replace(s, model=identity[CLASS])
        apart = json.dumps([SCHEMA, named.key(), identity, methods], sort_keys=True, default=str)
        digest = hashlib.sha256(apart.encode()).hexdigest()[:12]
        return f"{named.model} {s.scheduler} {s.steps} {'+'.join(methods) or 'baseline'} {digest}"

    def close(self) -> None:
        """Lets the database go."""
        self._storage.remove_session()
        if isinstance(self._storage, RDBStorage):
            self._storage.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def _study(self, methods: tuple[str, ...]) -> Study:
        if methods not in self._studies:
            self._studies[methods] = study = optuna.create_study(
                storage=self._storage,
                study_name=self.study_name(methods),
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )
            if "identity" not in study.user_attrs:
                study.set_user_attr("setting", self.setting.key())
                study.set_user_attr("identity", json.dumps(self.identity, sort_keys=True, default=str))
        return self._studies[methods]

    def _kept(self, kind: type[Kept], study: Study, name: str) -> Kept | None:
        """An attribute of a study; None where it has none of that name."""
        kept = study.user_attrs.get(name)
        return None if kept is None else read(kind, kept, f"{name!r} of the study {study.study_name!r}", self.url)

    def _read_trial(self, kept: object, study: str) -> Trial:
        return read(Trial, kept, f"a trial of the study {study!r}", self.url)

    def _alike(self, attributes: Mapping[str, Any], name: str, methods: tuple[str, ...]) -> bool:
        """A study of these methods, of another setting in scheduler and steps only."""
        if not {"setting", "identity"} <= attributes.keys():
            return False
        try:
            setting, identity = Setting(**json.loads(attributes["setting"])), json.loads(attributes["identity"])
        except (ValueError, TypeError):  # of another version of hasten, or damaged: it is not this one's
            return False
        own = replace(setting, scheduler=self.setting.scheduler, steps=self.setting.steps)
        same = self._name(own, {**identity, **self._of_scheduler}, methods) == self.study_name(methods)
        return same and name == self._name(setting, identity, methods) != self.study_name(methods)

    @property
    def _of_scheduler(self) -> dict[str, Any]:
        return {SCHEDULER: self.identity[SCHEDULER]} if SCHEDULER in self.identity else {}

    def _bound_key(self, limits: Limits, samples: int) -> str:
        sure = "" if self.confidence == CONFIDENCE else f" {self.confidence:g}"
        return f"bound {json.dumps(dict(limits), sort_keys=True)}{limits.suffix} {samples}{sure}"

    def _refresh(self, methods: tuple[str, ...]) -> None:
        seen = self._read.get(methods, 0)
        frozen = self._study(methods).get_trials(deepcopy=False)
        for kept in (f for f in frozen[seen:] if ATTRIBUTE in f.user_attrs):
            trial = self._read_trial(kept.user_attrs[ATTRIBUTE], self.study_name(methods))
            self._found.setdefault((trial.plan, trial.split), []).append(at_confidence(trial, self.confidence))
        self._read[methods] = len(frozen)


def outdated(storage: BaseStorage) -> tuple[int, int]:
    """How many trials of a database are never found, for their identity was of the denoiser's weights alone, and
    how many there are in all."""
    studies = optuna.get_all_study_summaries(storage, include_best_trial=False)
    identities = [(json.loads(study.user_attrs.get("identity", "{}")), study.n_trials) for study in studies]
    return sum(n for identity, n in identities if WIDE not in identity), sum(n for _, n in identities)


def _named(methods: Iterable[str] | None) -> tuple[str, ...]:
    return ("any",) if methods is None else tuple(methods)


def _to_optuna(trial: Trial) -> FrozenTrial:
    """Optuna's form: speedup and loss as its two values, so that its dashboard draws the front."""
    params, distributions = _space(Plan.parse(trial.plan))
    frozen = create_trial(
        state=STATES[trial.status],
        values=[trial.speedup, _headline(trial)] if trial.status == "ok" else None,
        params=params,
        distributions=distributions,
        user_attrs={ATTRIBUTE: trial.model_dump_json(), "plan": trial.plan, "split": trial.split},
    )
    frozen.datetime_complete = datetime.now()
    frozen.datetime_start = frozen.datetime_complete - timedelta(seconds=trial.seconds)
    return frozen


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
            shown = float(len(steps_of(value)) if p.kind is str else value)  # of a list how many steps it has
            kind, number = (FloatDistribution, float) if p.kind is float else (IntDistribution, int)
            params[f"{method}.{p.name}"] = number(shown)
            low, high = number(min(p.low, shown)), number(max(p.high, shown))
            distributions[f"{method}.{p.name}"] = kind(low, high)  # type: ignore[arg-type]
    return params, distributions
