"""The store of trials, which never loses a finished trial and saves measuring one twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from sqlalchemy import text

from hasten.errors import StoreError
from hasten.limits import Limits
from hasten.measure.blocks import BlockProfile
from hasten.measure.grids import MeasuredGrid
from hasten.measure.identity.names import WIDE
from hasten.measure.identity.whole import OWN
from hasten.measure.stats import at_confidence
from hasten.plan import Plan
from hasten.records import CONFIDENCE, Bound, EqualTime, Split, Trial
from hasten.store._aside import Aside
from hasten.store._faults import Kept, reached, read
from hasten.store._frozen import ATTRIBUTE, frozen
from hasten.store._similar import newest
from hasten.store.database import MEMORY, open_database, sqlite_file, storage_url
from hasten.store.driver import check_storage
from hasten.task import Setting

CLASS, SCHEDULER = "class", "scheduler"
"""The entries of an identity that the setting has as well: the pipeline's class and its scheduler."""
PROFILE = "block profile"
NOWHERE = "The trial just measured could not be kept in any other place: it is lost"
SCHEMA = 1
LONGEST = 512
"""The most characters of a name in Optuna's tables. SQLite takes longer names, PostgreSQL and MySQL do not."""


class Store:
    """The trials of one setting in one environment, with a study for each set of methods.

    Studies do not depend on limits and targets, so that a later search with others finds the same trials. A
    finished trial is written in one transaction: a process that is killed at any moment leaves all finished trials
    and no partial one. Several processes may share a store.

    Args:
        storage: a URL, the path of an SQLite file, ``memory``, or None for the default.
        setting: what is measured.
        identity: everything else that makes trials comparable: the environment, the scorer, the seed.
        confidence: the probability for the intervals of trials that are read. Intervals of another probability are
            computed anew from the raw figures.

    Raises:
        InputError: the storage cannot be opened.
        StoreError: the storage is damaged, or can no longer be read or written. The methods raise it as well.

    Example:
        >>> with Store("trials.db", setting, bench.identity) as store:
        ...     store.find(Plan.parse("deepcache(cache_interval=3)"), split="held-out")
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
        check_storage(storage)
        self._storage = open_database(storage)
        self._studies: dict[tuple[str, ...], Study] = {}
        self._trials_read: dict[tuple[str, ...], int] = {}
        self._found: dict[tuple[Plan, Split], list[Trial]] = {}
        file = sqlite_file(storage)
        self._aside = Aside.of(self.url, file.parent if file else None)
        if self.url != MEMORY:
            self._add_from_files()

    def find(self, plan: Plan, split: Split = "search") -> Trial | None:
        """Returns the latest finished trial of the plan on that split, or None."""
        return next(reversed(self.history(plan, split)), None)

    @reached
    def history(self, plan: Plan, split: Split = "search") -> tuple[Trial, ...]:
        """Returns all finished trials of the plan on that split, the latest last.

        Where a plan was scored a few prompts at a time, each trial includes the prompts of the one before.
        """
        self._refresh(plan.methods)
        return tuple(self._found.get((plan, split), ()))

    def add(self, trial: Trial) -> None:
        """Stores a finished trial in one transaction or, where that fails, in a file that the next start reads.

        Raises:
            StoreError: the database cannot be written; the message names that file.
        """
        try:
            self._add(trial)
        except StoreError as error:
            aside = self._aside.keep(self.study_name(trial.plan.methods), trial.model_dump_json())
            kept = f"The trial just measured is kept in {aside}, for that" if aside else NOWHERE
            raise StoreError(f"{error} {kept}.") from None

    def keeps(self, trial: Trial) -> tuple[str, ...]:
        """Returns the command by which another process stores a trial where this one hangs. The next process that
        opens the store finds it there. Empty for a store in memory, and for a pipeline that no other process
        has."""
        if self.url == MEMORY or OWN in self.identity:
            return ()
        return self._aside.command(self.study_name(trial.plan.methods), trial.model_dump_json())

    @reached
    def _add(self, trial: Trial) -> None:
        self._study(trial.plan.methods).add_trial(frozen(trial))

    def _add_from_files(self) -> None:
        """Adds the trials that an earlier run had to put into files."""

        def mine(study: str, text: str) -> bool:
            return study == self.study_name(kept(text).plan.methods)

        def kept(text: str) -> Trial:
            return read(Trial, text, "a trial that was kept aside", self.url)

        self._aside.take(mine, lambda text: self._add(kept(text)))

    @reached
    def trials(self, methods: Iterable[str], split: Split = "search") -> tuple[Trial, ...]:
        """Returns the latest trial of each plan of exactly these methods on that split."""
        methods = tuple(methods)
        self._refresh(methods)
        kept = (found[-1] for (_, of), found in self._found.items() if of == split)
        return tuple(t for t in kept if t.plan.methods == methods)

    @reached
    def trials_of_similar_settings(self, methods: Iterable[str], most: int) -> tuple[Trial, ...]:
        """Returns scored search trials of exactly these methods in settings that differ from this one in scheduler
        and steps only: at most so many, the newest first, the last of each plan in a setting."""
        methods = tuple(methods)
        studies = self._storage.get_all_studies()  # this reads names and attributes, and no trials
        alike = [s for s in studies if self._alike(s.user_attrs, s.study_name, methods)]
        kept = newest(self._storage, {study._study_id: study.study_name for study in alike}, most)
        return tuple(self._read_trial(document, study) for study, document in kept)

    @reached
    def bound(self, methods: Iterable[str] | None, limits: Limits, samples: int) -> Bound | None:
        """Returns the upper bound of these methods (None: any) within these limits, measured on ``samples``
        prompts."""
        study = self._study(_named(methods))
        return self._kept(Bound, study, self._bound_key(limits, samples))

    @reached
    def keep_bound(self, methods: Iterable[str] | None, limits: Limits, samples: int, bound: Bound) -> None:
        """Stores an upper bound in the place of an earlier one."""
        self._study(_named(methods)).set_user_attr(self._bound_key(limits, samples), bound.model_dump_json())

    @reached
    def equal_time(self, plan: Plan) -> EqualTime | None:
        """Returns the equal-time baseline that was measured for the plan's last verdict, or None."""
        found = self._kept(EqualTime, self._study(plan.methods), _equal_key(plan))
        if found is None:
            return None
        return found.model_copy(update={"trial": at_confidence(found.trial, self.confidence)})

    @reached
    def keep_equal_time(self, plan: Plan, found: EqualTime) -> None:
        """Stores the equal-time baseline of a plan's verdict in the place of an earlier one."""
        self._study(plan.methods).set_user_attr(_equal_key(plan), found.model_dump_json())

    @reached
    def profile(self) -> BlockProfile | None:
        """Returns the baseline's profile, or None where none is stored."""
        return self._kept(BlockProfile, self._study(()), PROFILE)

    @reached
    def keep_profile(self, profile: BlockProfile) -> None:
        """Stores the baseline's profile in the place of an earlier one."""
        self._study(()).set_user_attr(PROFILE, profile.model_dump_json())

    @reached
    def measured(self, name: str) -> MeasuredGrid | None:
        """Returns the stored measurement for a method's grid, or None. ``name`` is the method's ``kept_as``."""
        return self._kept(MeasuredGrid, self._study(()), name)

    @reached
    def keep_measured(self, name: str, found: MeasuredGrid) -> None:
        """Stores a measurement for a method's grid in the place of an earlier one."""
        self._study(()).set_user_attr(name, found.model_dump_json())

    def study_name(self, methods: Iterable[str]) -> str:
        """Returns a readable name with a hash of everything that separates the trials of these methods from
        others."""
        return self._name(self.setting, self.identity, tuple(methods))

    def _name(self, s: Setting, identity: Mapping[str, Any], methods: tuple[str, ...]) -> str:
        """Returns the name of a study. An identity with the pipeline's class replaces the model's name, so that a
        model read from another folder or under another name has the same study."""
        named = s if CLASS not in identity else replace(s, model=identity[CLASS])
        apart = json.dumps([SCHEMA, named.key(), identity, methods], sort_keys=True, default=str)
        digest = hashlib.sha256(apart.encode()).hexdigest()[:12]
        told = f"{named.model} {s.scheduler} {s.steps} {'+'.join(methods) or 'baseline'}"
        return f"{told[: LONGEST - len(digest) - 1]} {digest}"

    def close(self) -> None:
        """Closes the connections to the database."""
        self.disconnect()

    def disconnect(self) -> None:
        """Closes the connections to the database; the next call opens new ones."""
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
        """Returns an attribute of a study as a record, or None where the study has none of that name."""
        kept = study.user_attrs.get(name)
        return None if kept is None else read(kind, kept, f"{name!r} of the study {study.study_name!r}", self.url)

    def _read_trial(self, kept: object, study: str) -> Trial:
        return read(Trial, kept, f"a trial of the study {study!r}", self.url)

    def _alike(self, attributes: Mapping[str, Any], name: str, methods: tuple[str, ...]) -> bool:
        """Returns whether a study is of these methods, in a setting that differs in scheduler and steps only."""
        if not {"setting", "identity"} <= attributes.keys():
            return False
        try:
            setting, identity = Setting(**json.loads(attributes["setting"])), json.loads(attributes["identity"])
        except (ValueError, TypeError):  # the study is damaged or of another version of hasten
            return False
        own = replace(setting, scheduler=self.setting.scheduler, steps=self.setting.steps)
        same = self._name(own, {**identity, **self._of_scheduler}, methods) == self.study_name(methods)
        return same and name == self._name(setting, identity, methods) != self.study_name(methods)

    @property
    def _of_scheduler(self) -> dict[str, Any]:
        return {SCHEDULER: self.identity[SCHEDULER]} if SCHEDULER in self.identity else {}

    def _bound_key(self, limits: Limits, samples: int) -> str:
        sure = "" if self.confidence == CONFIDENCE else f" {self.confidence:g}"
        return _fitting(f"bound {json.dumps(dict(limits), sort_keys=True)}{limits.suffix} {samples}{sure}")

    def _refresh(self, methods: tuple[str, ...]) -> None:
        seen = self._trials_read.get(methods, 0)
        frozen = self._study(methods).get_trials(deepcopy=False)
        for kept in (f for f in frozen[seen:] if ATTRIBUTE in f.user_attrs):
            trial = self._read_trial(kept.user_attrs[ATTRIBUTE], self.study_name(methods))
            self._found.setdefault((trial.plan, trial.split), []).append(at_confidence(trial, self.confidence))
        self._trials_read[methods] = len(frozen)


def outdated(storage: BaseStorage) -> tuple[int, int]:
    """Returns the number of trials that can no longer be found, and the number of all trials in a database.

    The former have an identity of the denoiser's weights alone, from an older version of hasten.
    """
    sizes, studies = _sizes(storage), storage.get_all_studies()
    identities = [(json.loads(s.user_attrs.get("identity", "{}")), sizes.get(s.study_name, 0)) for s in studies]
    return sum(n for identity, n in identities if WIDE not in identity), sum(n for _, n in identities)


def _sizes(storage: BaseStorage) -> dict[str, int]:
    """Returns the number of trials of each study, by its name. Optuna alone would read all trials for that."""
    if not isinstance(storage, RDBStorage):
        return {s.study_name: storage.get_n_trials(s._study_id) for s in storage.get_all_studies()}
    counting = "select study_name, count(*) as number from studies natural join trials group by study_name"
    with storage.engine.connect() as connection:
        return {row.study_name: row.number for row in connection.execute(text(counting))}


def _fitting(name: str) -> str:
    """Returns a name for an attribute that is short enough for every database."""
    return (
        name
        if len(name) <= LONGEST
        else f"{name[: LONGEST - 13]} {hashlib.sha256(name.encode()).hexdigest()[:12]}"
    )


def _equal_key(plan: Plan) -> str:
    return _fitting(f"equal time {plan}")


def _named(methods: Iterable[str] | None) -> tuple[str, ...]:
    return ("any",) if methods is None else tuple(methods)
