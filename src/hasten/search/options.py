"""The options of a search: strategy, preference and budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hasten.options import checked, option_names
from hasten.task import Task

Prefer = Literal["first", "closest", "fastest", "best-quality"]


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search. Their values are checked on creation.

    Args:
        strategy: ``guided`` (predicted speed, learned loss); ``auto``, which is guided for named methods, and one
            joint search over exact methods, steps, solver and all others where the choice is open; ``traversal``
            (the original's walk over the grid); or Optuna's ``random``, ``tpe``, ``nsga2`` and ``gp``.
        prefer: which plan is chosen of those that meet a target: the first found, the one closest to the request,
            the fastest, or the one with the least loss.
        max_trials: the number of trials in the search, measured or found in the store. None: as many as guided
            needs, all of a traversal, 200 of the sampled strategies.
        max_time_s: the seconds for everything that the answer needs: profile, trials, verdict, and what follows
            it. No trial begins where the rest would take longer; one trial and a
            verdict on what prompts the time allows are taken in any case.
        num_samples: the number of prompts that a plan is scored on.
        pairs: the number of interleaved pairs of baseline and plan that a verdict times. It takes up to four times
            as many where the speedup is neither known to 2% nor decided against the target.
        search_pairs: the number of pairs that a trial of the search times, whose plan is confirmed later. It takes
            fewer where the first already show that the plan is too slow.
        seed: the random seed of the sampled strategies.
        storage: where trials are kept: a URL, the path of an SQLite file, or ``memory``. None: the user's data
            folder.
        confidence: the probability that an interval holds the true value, 0.5 to 0.999. *met* needs the whole
            interval of each loss inside its limit.
        confirmations: the number of candidates that are measured on held-out prompts before the search gives up.
        verified: whether a fresh process measures the script again afterwards, for which time is reserved.
        spent_s: the seconds of ``max_time_s`` that were used before.

    Raises:
        InputError: a value is out of range.
        UnknownNameError: there is no such strategy or preference.

    Example:
        >>> SearchOptions(strategy="guided", prefer="fastest", max_time_s=600, num_samples=64)
    """

    strategy: str = "auto"
    prefer: Prefer = "first"
    max_trials: int | None = None
    max_time_s: float | None = None
    num_samples: int = 32
    pairs: int = 7
    search_pairs: int = 3
    seed: int = 0
    storage: str | None = None
    confidence: float = 0.95
    confirmations: int = 6
    verified: bool = False
    spent_s: float = 0.0

    def searches_jointly(self, task: Task) -> bool:
        """Returns whether the search of the task is a joint one: the choice of methods is open, and no strategy is
        named."""
        return self.strategy == "auto" and task.is_open and task.mode in ("bound", "target")

    def __post_init__(self) -> None:
        vars(self).update(checked({name: vars(self)[name] for name in option_names(type(self))}))
