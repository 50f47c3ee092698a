"""Pictures of a study: its trials' values, how long they took, and which parameters mattered."""

import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization import matplotlib as visualization

from conceptcaps.sweeps import best


def figures(study: optuna.Study, *, seed: int) -> dict[str, Figure]:
    """Pictures of a study by name.

    All are Optuna's own: ``history`` of each trial's value, or ``pareto`` for several objectives, and ``timeline``;
    from four trials on ``importance`` (fANOVA, Hutter et al. 2014), and for one objective ``slice``, ``parallel`` and,
    where trials reported on their way, ``intermediate``.
    """
    names = study.metric_names or []
    if len(names) == 1:
        drawn = {"history": _by_optuna(visualization.plot_optimization_history, study, target_name=names[0])}
    else:
        drawn = {"pareto": _pareto(study)}
    drawn["timeline"] = _by_optuna(visualization.plot_timeline, study)
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 4:
        return drawn
    fanova = FanovaImportanceEvaluator(seed=seed)
    drawn["importance"] = _by_optuna(visualization.plot_param_importances, study, evaluator=fanova)
    if len(names) == 1:
        drawn["slice"] = _by_optuna(visualization.plot_slice, study)
        drawn["parallel"] = _by_optuna(visualization.plot_parallel_coordinate, study)
        if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
            drawn["intermediate"] = _by_optuna(visualization.plot_intermediate_values, study)
    return drawn


def _pareto(study: optuna.Study) -> Figure:
    """The first two objectives of all trials, the chosen trial marked."""
    names = (study.metric_names or [])[:2]
    drawn = _by_optuna(
        visualization.plot_pareto_front, study, targets=lambda trial: trial.values[:2], target_names=names
    )
    drawn.axes[0].plot(*best(study).values[:2], "*", color="#aa3377", markersize=14, label="chosen")
    drawn.axes[0].legend(frameon=False)
    return drawn


def _by_optuna(plot: Callable[..., Any], study: optuna.Study, **options: Any) -> Figure:
    """One of Optuna's own pictures, which it draws with pyplot; pyplot forgets it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        axes = np.ravel(plot(study, **options))[0]
    plt.close(axes.figure)
    return cast(Figure, axes.figure)
