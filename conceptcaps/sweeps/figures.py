"""Pictures of a study: its trials' values, how long they took, and which parameters mattered."""

import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState
from optuna.visualization import matplotlib as visualization

from conceptcaps.sweeps import best, table


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
