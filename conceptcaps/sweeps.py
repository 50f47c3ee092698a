"""Searches over hyperparameters with Optuna: resumable, shared between processes, failures recorded.

References:
    Akiba et al., Optuna: A next-generation hyperparameter optimization framework (2019), arXiv 1907.10902.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import BaseTrial, FrozenTrial, TrialState
from optuna.visualization import matplotlib as visualization

from conceptcaps import hashing, study_database
from conceptcaps.errors import Failure

_POLL = 1  # seconds between looks at trials of other processes
_LOWER_IS_BETTER = ("loss", "nll", "perplexity", "error")
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
    } | {"head": True, "batch_size": 32, "warmup": 0}


def captioner_dials(trial: BaseTrial) -> Dials:
    """Rank, scale, dropout, learning rate and epochs of the captioner's adapter."""
    return {
        "rank": trial.suggest_categorical("rank", [8, 16, 32, 64]),
        "alpha": trial.suggest_categorical("alpha", [8, 16, 32, 64]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "learning_rate": trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
        "epochs": trial.suggest_int("epochs", 1, 2),
    } | {"batch_size": 8, "max_tokens": 256, "adapter": "lora", "target_modules": "all-linear"}


def directions(objective: str) -> dict[str, str]:
    """``minimize`` or ``maximize`` for each metric of an objective, which are separated by commas.

    Raises:
        ValueError: If one does not begin with ``val/``, or contains the weight that is being searched.

    >>> directions("val/loss"), directions("val/cooccurrence,val/novelty")
    ({'val/loss': 'minimize'}, {'val/cooccurrence': 'maximize', 'val/novelty': 'maximize'})
    """
    names = [name.strip() for name in objective.split(",")]
    for name in names:
        if not name.startswith("val/") or "beta" in name:
            raise ValueError(
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
        ValueError: If the study of that name has another objective or other rows.
        ConnectionError: If the database does not answer or does not let us in.
    """
    towards = directions(objective)
    if storage.startswith("sqlite:///"):
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=name,
        storage=study_database.Storage(storage),
        directions=list(towards.values()),
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
    )
    stored = zip(study.metric_names or towards, (one.name.lower() for one in study.directions), strict=False)
    found, asked = (*stored, study.user_attrs.get("rows", rows)), (*towards.items(), rows)
    if found != asked:
        raise ValueError(f"expected a study {name} of {asked}, got one of {found}: give another name, or study=auto")
    study.set_metric_names(list(towards))
    study.set_user_attr("rows", rows)
    return study


def optimise(study: optuna.Study, evaluate: Evaluate, *, trials: int, seed: int) -> FrozenTrial:
    """Run trials until the study holds ``trials`` finished ones, over all processes; return the best.

    A trial that raises ValueError or RuntimeError is recorded as failed and the search goes on. One whose process died
    or was interrupted is run again with the same parameters: here, or where the study is next opened. The sampler
    (TPE) starts from ``seed`` and the trial's number, so that a study that goes on does not repeat its draws.

    Args:
        study: Of ``open_study``.
        evaluate: Returns the metrics of a trial, the objectives among them; may raise ``Pruned``.
        trials: Trials that the study shall hold.
        seed: Seed of the sampler.

    Returns:
        The best trial; of several objectives the one nearest to the best value of each on the Pareto front, every
        objective scaled to that front's range.

    Raises:
        ValueError: If ``trials`` is below 1.
        Failure: If no trial completed.
    """
    if trials < 1:
        raise ValueError(f"expected trials of at least 1, got {trials}")
    names = study.metric_names or []

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
        missing = [name for name in names if name not in metrics]
        if missing:
            raise ValueError(f"expected objectives among the metrics {', '.join(metrics)}, got {', '.join(missing)}")
        return [metrics[name] for name in names]

    while True:
        fail_stale_trials(study)
        states = {trial.state for trial in _valid(study)}
        if TrialState.WAITING in states or _places(study) < trials:
            study.optimize(run, n_trials=1, catch=(ValueError, RuntimeError))
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


def figures(study: optuna.Study, *, seed: int) -> dict[str, Figure]:
    """Pictures of a study by name.

    ``history`` of each trial's value or ``pareto`` for several objectives, and ``timeline``; from four trials on
    ``importance``, and for one objective Optuna's ``slice``, ``parallel`` and, where trials reported on their way,
    ``intermediate``.
    """
    names = study.metric_names or []
    drawn = {"history": _history(study)} if len(names) == 1 else {"pareto": _pareto(study)}
    drawn["timeline"] = _by_optuna(visualization.plot_timeline, study)
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 4:
        return drawn
    drawn["importance"] = _importance(study, seed=seed)
    if len(names) == 1:
        drawn["slice"] = _by_optuna(visualization.plot_slice, study)
        drawn["parallel"] = _by_optuna(visualization.plot_parallel_coordinate, study)
        if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
            drawn["intermediate"] = _by_optuna(visualization.plot_intermediate_values, study)
    return drawn


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


def _history(study: optuna.Study) -> Figure:
    (objective,) = study.metric_names or []
    done = table(study).query("state == 'COMPLETE'")
    lower = study.direction.name == "MINIMIZE"
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(done["number"], done[objective], "o", color="#4477aa", label="trial")
    so_far = done[objective].cummin() if lower else done[objective].cummax()
    axes.step(done["number"], so_far, where="post", color="#aa3377", label="best so far")
    axes.set(title=study.study_name, xlabel="trial", ylabel=objective)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _pareto(study: optuna.Study) -> Figure:
    """The first two objectives of all trials, the Pareto front and the chosen trial marked."""
    first, second = (study.metric_names or [])[:2]
    done = table(study).query("state == 'COMPLETE'")
    front = done[done["number"].isin([trial.number for trial in study.best_trials])].sort_values(first)
    chosen = done[done["number"] == best(study).number]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(done[first], done[second], "o", color="#bbbbbb", label="trial")
    axes.plot(front[first], front[second], "o-", color="#4477aa", label="Pareto front")
    axes.plot(chosen[first], chosen[second], "*", color="#aa3377", markersize=14, label="chosen")
    axes.set(title=study.study_name, xlabel=first, ylabel=second)
    axes.legend(frameon=False)
    return figure


def _by_optuna(plot: Callable[[optuna.Study], Any], study: optuna.Study) -> Figure:
    """One of Optuna's own pictures, which it draws with pyplot; pyplot forgets it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        axes = np.ravel(plot(study))[0]
    plt.close(axes.figure)
    return cast(Figure, axes.figure)


def _importance(study: optuna.Study, *, seed: int) -> Figure:
    """Share of each objective's variance that each parameter explains (fANOVA, Hutter et al. 2014)."""
    names = study.metric_names or []
    figure = Figure(figsize=(6 * len(names), 3), layout="constrained")
    for place, (axes, name) in enumerate(zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True)):
        shares = get_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=seed), target=lambda trial, place=place: trial.values[place]
        )
        axes.barh(list(shares)[::-1], list(shares.values())[::-1], color="#4477aa")
        axes.set(title="importance of parameters", xlabel=f"share of the variance of {name}")
    return figure
