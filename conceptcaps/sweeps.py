"""Searches over hyperparameters with Optuna: resumable, shared between processes, failures recorded.

References:
    Akiba et al., Optuna: A next-generation hyperparameter optimization framework (2019), arXiv 1907.10902.
"""

from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
from matplotlib.figure import Figure
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_HEARTBEAT = 30  # seconds between signs of life of a running trial; after twice as many it counts as dead
_LOWER_IS_BETTER = ("loss", "nll", "perplexity", "error")

Evaluate = Callable[[optuna.Trial], float]


def direction(objective: str) -> str:
    """``minimize`` or ``maximize``, by the objective's name.

    Raises:
        ValueError: If it does not begin with ``val/``, or contains the weight that is being searched.

    >>> direction("val/loss"), direction("val/iwae")
    ('minimize', 'maximize')
    """
    if not objective.startswith("val/") or "beta" in objective:
        raise ValueError(
            f"expected an objective that begins with val/ and does not contain beta, got {objective!r}: "
            "test rows choose nothing, and a loss weighted by beta is lowest where beta is"
        )
    return "minimize" if any(word in objective for word in _LOWER_IS_BETTER) else "maximize"


def open_study(*, name: str, storage: str, objective: str, seed: int) -> optuna.Study:
    """Create a study, or go on with the one of that name.

    Args:
        name: Name in the storage.
        storage: Database URL; the folder of a sqlite file is made.
        objective: Metric that is optimised.
        seed: Seed of the sampler (TPE). Processes that share a study should have different ones.
    """
    towards = direction(objective)
    if storage.startswith("sqlite:///"):
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    database = RDBStorage(
        storage,
        heartbeat_interval=_HEARTBEAT,
        grace_period=2 * _HEARTBEAT,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=2),
    )
    return optuna.create_study(
        study_name=name,
        storage=database,
        direction=towards,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
    )


def optimise(study: optuna.Study, evaluate: Evaluate, *, trials: int) -> optuna.trial.FrozenTrial:
    """Run trials until the study, over all processes, holds ``trials`` that ended; give the best.

    A trial that raises ValueError or RuntimeError is recorded as failed and the search goes on; a trial whose process
    died is queued again.

    Args:
        study: Of ``open_study``.
        evaluate: Returns the objective of a trial; may prune it.
        trials: Trials that the study shall hold.

    Raises:
        ValueError: If ``trials`` is below 1.
        RuntimeError: If no trial completed.
    """
    if trials < 1:
        raise ValueError(f"expected trials of at least 1, got {trials}")
    if len(study.get_trials(deepcopy=False, states=_ENDED)) < trials:
        stop = MaxTrialsCallback(trials, states=_ENDED)
        study.optimize(evaluate, callbacks=[stop], catch=(ValueError, RuntimeError), show_progress_bar=False)
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        states = ", ".join(trial.state.name for trial in study.get_trials(deepcopy=False))
        raise RuntimeError(f"expected a trial of study {study.study_name} to complete, got {states}")
    return study.best_trial


def table(study: optuna.Study) -> pd.DataFrame:
    """One row for each trial: ``number``, ``state``, ``value`` and its parameters."""
    return pd.DataFrame(
        [
            {"number": trial.number, "state": trial.state.name, "value": trial.value, **trial.params}
            for trial in study.get_trials(deepcopy=False)
        ]
    )


def history_figure(study: optuna.Study, *, objective: str) -> Figure:
    """Value of each complete trial and the best so far."""
    done = table(study).query("state == 'COMPLETE'")
    best = done["value"].cummin() if direction(objective) == "minimize" else done["value"].cummax()
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(done["number"], done["value"], "o", color="#4477aa", label="trial")
    axes.step(done["number"], best, where="post", color="#aa3377", label="best so far")
    axes.set(title=study.study_name, xlabel="trial", ylabel=objective)
    axes.legend(frameon=False)
    return figure


def importance_figure(study: optuna.Study, *, seed: int) -> Figure | None:
    """Share of the objective's variance that each parameter explains (fANOVA); None for fewer than four trials."""
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 4:
        return None
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(shares)[::-1], list(shares.values())[::-1], color="#4477aa")
    axes.set(title="importance of parameters", xlabel="share of the objective's variance")
    return figure


def prune_if_hopeless(trial: optuna.Trial) -> None:
    """End a trial whose reported values are worse than the median of the others.

    Raises:
        optuna.TrialPruned: If so.
    """
    if trial.should_prune():
        raise optuna.TrialPruned
