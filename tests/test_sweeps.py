import multiprocessing
import os
import signal
import time

import optuna
import pytest
from optuna.trial import TrialState

from conceptcaps import search_spaces, sweeps

OBJECTIVE = "val/loss"


def parabola(trial: optuna.Trial) -> float:
    return (trial.suggest_float("x", -3, 3) - 1) ** 2


def open_study(folder, *, seed: int = 0, name: str = "test") -> optuna.Study:
    return sweeps.open_study(name=name, storage=f"sqlite:///{folder}/study/optuna.db", objective=OBJECTIVE, seed=seed)


def test_finds_the_minimum_and_is_seeded(tmp_path):
    best = sweeps.optimise(open_study(tmp_path), parabola, trials=25)
    assert best.params["x"] == pytest.approx(1, abs=0.3)
    again = sweeps.optimise(open_study(tmp_path, name="again"), parabola, trials=25)
    assert again.params == best.params


def test_a_study_goes_on_to_the_number_of_trials(tmp_path):
    sweeps.optimise(open_study(tmp_path), parabola, trials=3)
    study = open_study(tmp_path)
    sweeps.optimise(study, parabola, trials=5)
    assert len(study.trials) == 5
    sweeps.optimise(study, parabola, trials=5)
    assert len(study.trials) == 5
    table = sweeps.table(study)
    assert table["number"].tolist() == [0, 1, 2, 3, 4] and set(table["state"]) == {"COMPLETE"}


def test_failing_trials_are_recorded_and_all_failing_is_an_error(tmp_path):
    def sometimes(trial):
        if trial.number % 2:
            raise ValueError("expected a smaller learning rate")
        return parabola(trial)

    study = open_study(tmp_path)
    sweeps.optimise(study, sometimes, trials=4)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL] * 2

    def never(trial):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="expected a trial of study none to complete, got FAIL, FAIL"):
        sweeps.optimise(open_study(tmp_path, name="none"), never, trials=2)


def test_hopeless_trials_are_pruned(tmp_path):
    def evaluate(trial):
        for step in range(10):
            trial.report(float(trial.number), step)
            sweeps.prune_if_hopeless(trial)
        return float(trial.number)

    study = open_study(tmp_path)
    assert sweeps.optimise(study, evaluate, trials=8).number == 0
    assert TrialState.PRUNED in {trial.state for trial in study.trials}


@pytest.mark.parametrize("objective", ["test/loss", "loss", "val/beta_loss"])
def test_only_validation_without_beta_may_choose(objective):
    with pytest.raises(ValueError, match="expected an objective that begins with val/ and does not contain beta"):
        sweeps.direction(objective)


def test_zero_trials_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected trials of at least 1, got 0"):
        sweeps.optimise(open_study(tmp_path), parabola, trials=0)


def test_search_spaces_are_arguments_of_fit(tmp_path):
    trial = open_study(tmp_path).ask()
    assert {"beta", "latent_dim", "hidden_dim", "dropout", "learning_rate"} <= set(search_spaces.vae(trial))
    assert {"rank", "alpha", "dropout", "learning_rate", "epochs"} <= set(search_spaces.captioner(trial))


def _work(folder, seed: int) -> None:
    def slow(trial):
        time.sleep(0.3)
        return parabola(trial)

    sweeps.optimise(open_study(folder, seed=seed), slow, trials=12)


@pytest.mark.slow
def test_two_processes_share_a_study_and_one_may_die(tmp_path, monkeypatch):
    """One is killed in the middle; the other finishes, and every number stands once."""
    monkeypatch.setattr(sweeps, "_HEARTBEAT", 1)
    open_study(tmp_path)
    context = multiprocessing.get_context("fork")
    first, second = (context.Process(target=_work, args=(tmp_path, seed)) for seed in (1, 2))
    first.start()
    second.start()
    time.sleep(2)
    os.kill(first.pid, signal.SIGKILL)
    second.join(timeout=60)
    study = open_study(tmp_path)
    sweeps.optimise(study, parabola, trials=12)
    ended = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert second.exitcode == 0 and len(ended) >= 11
    assert len({trial.number for trial in study.trials}) == len(study.trials)
    assert len({trial.params["x"] for trial in ended}) == len(ended), "no trial was run twice"


def test_figures_are_drawn(tmp_path):
    study = open_study(tmp_path)
    sweeps.optimise(study, parabola, trials=6)
    assert sweeps.history_figure(study, objective=OBJECTIVE).axes
    figure = sweeps.importance_figure(study, seed=0)
    assert figure is None or figure.axes
