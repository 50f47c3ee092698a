"""Searches over hyperparameters with Optuna: resumable, shared between processes, failures recorded.

References:
    Akiba et al., Optuna: A next-generation hyperparameter optimization framework (2019), arXiv 1907.10902.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from conceptcaps.errors import Failure, InputError
from conceptcaps.sweeps import database
from conceptcaps.workspace import hashing

_POLL = 1  # seconds between looks at trials of other processes
_LOWER_IS_BETTER = ("loss", "nll", "perplexity", "error")
_RUN = "run"  # attribute of a trial: where its model is kept
_SURPLUS = "surplus"  # mark of a trial that was asked for while another process took the last place

# Trials are runs, which say all of this; the warnings are of interfaces that the lock file holds still.
optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=ExperimentalWarning)

Evaluate = Callable[[optuna.Trial], Mapping[str, float]]
Trial = optuna.Trial
Pruned = optuna.TrialPruned
Dials = dict[str, int | float]


def vae_dials(trial: BaseTrial) -> Dials:
    """Beta, sizes, dropout, learning rate, batch normalisation and the penalty of the head of the tag VAE."""
    return {
        "beta": trial.suggest_float("beta", 0.05, 1.0, log=True),
        "latent_dim": trial.suggest_categorical("latent_dim", [8, 16, 32, 64, 128]),
        "hidden_dim": trial.suggest_categorical("hidden_dim", [64, 128, 256, 512]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
        "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
        "penalty": trial.suggest_float("penalty", 1e-4, 1e-2, log=True),
    }


def captioner_dials(trial: BaseTrial) -> Dials:
    """Rank, scale, dropout, learning rate and epochs of the captioner's adapter."""
    return {
        "rank": trial.suggest_categorical("rank", [8, 16, 32, 64]),
        "alpha": trial.suggest_categorical("alpha", [8, 16, 32, 64]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "learning_rate": trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
        "epochs": trial.suggest_int("epochs", 1, 2),
    }


def directions(objective: str) -> dict[str, str]:
    """``minimize`` or ``maximize`` for each metric of an objective, which are separated by commas.

    Raises:
        InputError: If one does not begin with ``val/``, or contains the weight that is being searched.

    >>> directions("val/loss"), directions("val/cooccurrence,val/novelty")
    ({'val/loss': 'minimize'}, {'val/cooccurrence': 'maximize', 'val/novelty': 'maximize'})
    """
    names = [name.strip() for name in objective.split(",")]
    for name in names:
        if not name.startswith("val/") or "beta" in name:
            raise InputError(
                f"expected an objective that begins with val/ and does not contain beta, got {name!r}: "
                "test rows choose nothing, and a loss weighted by beta is lowest where beta is"
            )
    lower = {name: any(word in name for word in _LOWER_IS_BETTER) for name in names}
    return {name: "minimize" if lower[name] else "maximize" for name in names}


def open_study(*, name: str, storage: str, objective: str, rows: str = "") -> optuna.Study:
    """Create a study, or resume the one of that name.

    Args:
        name: Name in the storage.
        storage: Database URL; the folder of a sqlite file is made.
        objective: Metric that is optimised, or several separated by commas.
        rows: Digest of the rows that trials learn from and are judged by; empty where there is none.

    Raises:
        InputError: If the study of that name has another objective or other rows.
        ConnectionError: If the database does not answer or does not let us in.
    """
    towards = directions(objective)
    if storage.startswith("sqlite:///"):
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=name,
        storage=database.Storage(storage),
        directions=list(towards.values()),
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
    )
    stored = zip(study.metric_names or towards, (one.name.lower() for one in study.directions), strict=False)
    found, asked = (*stored, study.user_attrs.get("rows", rows)), (*towards.items(), rows)
    if found != asked:
        raise InputError(f"expected a study {name} of {asked}, got one of {found}: give another name, or study=auto")
    study.set_metric_names(list(towards))
    study.set_user_attr("rows", rows)
    return study


def optimise(study: optuna.Study, evaluate: Evaluate, *, trials: int, seed: int) -> FrozenTrial:
    """Run trials until the study holds ``trials`` finished ones, over all processes; return the best.

    A trial that raises InputError, such as one that diverges, or that the GPU's memory does not suffice for is recorded
    as failed and the search goes on; any other error ends it. One whose process died or was interrupted is run again
    with the same parameters: here, or where the study is next opened. The sampler (TPE) starts from ``seed`` and the
    trial's number, so that a study that goes on does not repeat its draws.

    Args:
        study: Of ``open_study``.
        evaluate: Returns the metrics of a trial, the objectives among them; may raise ``Pruned``.
        trials: Trials that the study shall hold.
        seed: Seed of the sampler.

    Returns:
        The best trial; of several objectives the one nearest to the best value of each on the Pareto front, every
        objective scaled to that front's range.

    Raises:
        InputError: If ``trials`` is below 1.
        Failure: If no trial completed.
    """
    if trials < 1:
        raise InputError(f"expected trials of at least 1, got {trials}")

    def run(trial: optuna.Trial) -> list[float]:
        if not _again(study.trials[trial.number]) and _places(study, before=trial.number) >= trials:
            trial.set_user_attr(_SURPLUS, True)
            raise Pruned
        study.sampler = optuna.samplers.TPESampler(seed=hashing.row_seed(f"trial {trial.number}", seed))
        try:
            metrics = evaluate(trial)
        except KeyboardInterrupt:
            RetryHeartbeatStaleTrialCallback()(study, study.trials[trial.number])
            raise
        return _objectives(study, metrics)

    while True:
        fail_stale_trials(study)
        states = {trial.state for trial in _valid(study)}
        if TrialState.WAITING in states or _places(study) < trials:
            study.optimize(run, n_trials=1, catch=(InputError, torch.OutOfMemoryError))
        elif TrialState.RUNNING in states:
            time.sleep(_POLL)
        else:
            return best(study)


def best(study: optuna.Study) -> FrozenTrial:
    """See ``optimise``.

    Raises:
        Failure: If no trial completed.
    """
    front = sorted(study.best_trials, key=lambda trial: trial.number)
    if not front:
        states = ", ".join(trial.state.name for trial in study.get_trials(deepcopy=False))
        raise Failure(f"expected a trial of study {study.study_name} to complete, got {states}")
    sign = [1 if towards.name == "MINIMIZE" else -1 for towards in study.directions]
    values = np.array([trial.values for trial in front]) * sign
    low, high = values.min(0), values.max(0)
    scaled = (values - low) / np.where(high > low, high - low, 1)
    return front[int((scaled**2).sum(1).argmin())]


def leads(trial: optuna.Trial, metrics: Mapping[str, float]) -> bool:
    """Whether no finished trial of the study is better than these metrics: only such a trial can become the best.

    Raises:
        InputError: If an objective is not among the metrics.
    """
    signs = [1 if towards.name == "MINIMIZE" else -1 for towards in trial.study.directions]
    own = np.array(_objectives(trial.study, metrics)) * signs
    others = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [np.array(other.values) * signs for other in others]
    return not any((other <= own).all() and (other < own).any() for other in values)


def keep(trial: optuna.Trial, run: str) -> None:
    """Note which run keeps a trial's model, for the machine that ends the study."""
    trial.set_user_attr(_RUN, run)


def kept(trial: FrozenTrial) -> str:
    """The run that keeps a trial's model.

    Raises:
        Failure: If none does.
    """
    if _RUN not in trial.user_attrs:
        raise Failure(
            f"expected trial {trial.number} to name the run that keeps its model, got none: it is of an earlier "
            "version; give the study another name"
        )
    return str(trial.user_attrs[_RUN])


def report(trial: optuna.Trial, metrics: Mapping[str, float], step: int) -> None:
    """Report a trial's progress to its study, and stop the trial if it is worse than the median of the others.

    Trials of several objectives are not pruned, nor those whose objective is not among the metrics.

    Raises:
        Pruned: If so.
    """
    names = trial.study.metric_names or []
    if len(names) == 1 and names[0] in metrics:
        trial.report(metrics[names[0]], step)
        if trial.should_prune():
            raise Pruned


def table(study: optuna.Study) -> pd.DataFrame:
    """One row for each trial: ``number``, ``state``, a column for each objective and for each parameter."""
    names, rows = study.metric_names or [], []
    for trial in _valid(study):
        values = trial.values if trial.state == TrialState.COMPLETE else [None] * len(names)
        objectives = dict(zip(names, values, strict=True))
        rows.append({"number": trial.number, "state": trial.state.name, **objectives, **trial.params})
    return pd.DataFrame(rows)


def _objectives(study: optuna.Study, metrics: Mapping[str, float]) -> list[float]:
    names = study.metric_names or []
    missing = [name for name in names if name not in metrics]
    if missing:
        raise InputError(f"expected objectives among the metrics {', '.join(metrics)}, got {', '.join(missing)}")
    return [metrics[name] for name in names]


def _places(study: optuna.Study, before: int | None = None) -> int:
    """Trials taken, counting one and those that run it again once; of those below a number only where it is given."""
    trials = study.get_trials(deepcopy=False)[:before]
    return sum(not _again(trial) and _SURPLUS not in trial.user_attrs for trial in trials)


def _again(trial: FrozenTrial) -> bool:
    """Whether a trial runs an earlier one again, as ``RetryHeartbeatStaleTrialCallback`` marks it."""
    return "failed_trial" in trial.system_attrs


def _valid(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: not those that were one too many, nor failed ones that another trial runs again."""
    everything = study.get_trials(deepcopy=False)
    again = {number for trial in everything for number in trial.system_attrs.get("retry_history", [])}
    return [trial for trial in everything if trial.number not in again and _SURPLUS not in trial.user_attrs]
