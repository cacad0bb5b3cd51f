"""The newest scored trials of several studies, one a plan, without reading all that they hold."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from itertools import islice

from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, bindparam, text

from hasten.store._frozen import ATTRIBUTE

Kept = tuple[str, str]
"""The name of a trial's study, and the trial's JSON text."""
TRIALS_A_PLAN = 16
"""How many trials are looked through for each plan that is wanted: a plan has a trial for each few prompts that it
was scored on, and those on held-out prompts."""
NEWEST = """
select max(newest.trial_id) as trial_id
from (
    select trial_id from trials where study_id = :study and state = 'COMPLETE' order by trial_id desc limit :window
) as newest
join trial_user_attributes as split on split.trial_id = newest.trial_id and split.key = 'split'
join trial_user_attributes as plan on plan.trial_id = newest.trial_id and plan.key = 'plan'
where split.value_json = '"search"'
group by plan.value_json order by 1 desc limit :most
"""
"""The last trial of each plan. All rows are found by Optuna's own indexes, and their number does not depend on how
many trials the study has."""
DOCUMENTS = "select trial_id, value_json from trial_user_attributes where key = :key and trial_id in :trials"


def newest(storage: BaseStorage, studies: Mapping[int, str], most: int) -> list[Kept]:
    """Returns at most that many of the studies' scored search trials, the newest first, the last of each plan.

    ``studies`` has their numbers and names.
    """
    if not studies:
        return []
    if not isinstance(storage, RDBStorage):
        found = [one for study, name in studies.items() for one in _in_memory(storage, study, name, most)]
        return [kept for _, kept in heapq.nlargest(most, found)]
    with storage.engine.connect() as database:
        of_study = {trial: study for study in studies for trial in _numbers(database, study, most)}
        chosen = heapq.nlargest(most, of_study)
        documents = _documents(database, chosen)
    return [(studies[of_study[trial]], documents[trial]) for trial in chosen]


def _numbers(database: Connection, study: int, most: int) -> list[int]:
    given = {"study": study, "window": most * TRIALS_A_PLAN, "most": most}
    return list(database.execute(text(NEWEST), given).scalars())


def _documents(database: Connection, trials: list[int]) -> dict[int, str]:
    asked = text(DOCUMENTS).bindparams(bindparam("trials", expanding=True))
    rows = database.execute(asked, {"key": ATTRIBUTE, "trials": trials})
    return {trial: json.loads(document) for trial, document in rows}


def _in_memory(storage: BaseStorage, study: int, name: str, most: int) -> Iterator[tuple[int, Kept]]:
    trials = storage.get_all_trials(study, deepcopy=False, states=(TrialState.COMPLETE,))
    last: dict[str, FrozenTrial] = {}
    for trial in islice(reversed(trials), most * TRIALS_A_PLAN):
        if trial.user_attrs.get("split") == "search":
            last.setdefault(trial.user_attrs["plan"], trial)
    for trial in islice(last.values(), most):
        yield trial._trial_id, (name, trial.user_attrs[ATTRIBUTE])
