import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
import torch
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from conceptcaps import sweeps
from conceptcaps.errors import Failure, InputError
from conceptcaps.sweeps import database as study_database
from conceptcaps.sweeps import figures as study_figures

OBJECTIVE = "val/loss"


def parabola(trial: optuna.Trial) -> dict[str, float]:
    return {OBJECTIVE: (trial.suggest_float("x", -3, 3) - 1) ** 2}


def open_study(folder, *, name: str = "test", objective: str = OBJECTIVE, rows: str = "") -> optuna.Study:
    return sweeps.open_study(name=name, storage=f"sqlite:///{folder}/study/optuna.db", objective=objective, rows=rows)


def optimise(study: optuna.Study, evaluate=parabola, *, trials: int, seed: int = 0):
    return sweeps.optimise(study, evaluate, trials=trials, seed=seed)


def test_finds_the_minimum_and_is_seeded(tmp_path):
    best = optimise(open_study(tmp_path), trials=25)
    assert best.params["x"] == pytest.approx(1, abs=0.3)
    again = optimise(open_study(tmp_path, name="again"), trials=25)
    assert again.params == best.params


def test_a_study_goes_on_to_the_number_of_trials(tmp_path):
    optimise(open_study(tmp_path), trials=3)
    study = open_study(tmp_path)
    optimise(study, trials=5)
    assert len(study.trials) == 5
    optimise(study, trials=5)
    assert len(study.trials) == 5
    table = sweeps.table(study)
    assert table["number"].tolist() == [0, 1, 2, 3, 4] and set(table["state"]) == {"COMPLETE"}


@pytest.mark.parametrize(
    "changes",
    [{"objective": "val/iwae"}, {"objective": "val/error"}, {"objective": f"{OBJECTIVE},val/iwae"}, {"rows": "other"}],
)
def test_a_study_has_one_objective_and_one_set_of_rows(tmp_path, changes):
    optimise(open_study(tmp_path, rows="some"), trials=1)
    with pytest.raises(ValueError, match="expected a study test of .*val/.*, got one of .*val/loss"):
        open_study(tmp_path, **{"rows": "some", **changes})
    assert open_study(tmp_path, rows="some").metric_names == [OBJECTIVE], "nothing was renamed"


def test_failing_trials_are_recorded_and_all_failing_is_an_error(tmp_path):
    def sometimes(trial):
        if trial.number % 2:
            raise InputError("expected a smaller learning rate")
        return parabola(trial)

    study = open_study(tmp_path)
    optimise(study, sometimes, trials=4)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL] * 2

    def never(trial):
        raise torch.OutOfMemoryError("no")

    with pytest.raises(Failure, match="expected a trial of study none to complete, got FAIL, FAIL"):
        optimise(open_study(tmp_path, name="none"), never, trials=2)


def test_a_bug_ends_the_search_and_shows_itself(tmp_path):
    def wrong(trial):
        return torch.zeros(2, 3) @ torch.zeros(2, 3)

    study = open_study(tmp_path)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        optimise(study, wrong, trials=4)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_hopeless_trials_are_pruned(tmp_path):
    def evaluate(trial):
        for step in range(10):
            sweeps.report(trial, {OBJECTIVE: float(trial.number)}, step)
        return {OBJECTIVE: float(trial.number)}

    study = open_study(tmp_path)
    assert optimise(study, evaluate, trials=8).number == 0
    assert TrialState.PRUNED in {trial.state for trial in study.trials}


@pytest.mark.parametrize("objective", ["test/loss", "loss", "val/beta_loss"])
def test_only_validation_without_beta_may_choose(objective):
    with pytest.raises(ValueError, match="expected an objective that begins with val/ and does not contain beta"):
        sweeps.directions(objective)


def test_zero_trials_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected trials of at least 1, got 0"):
        optimise(open_study(tmp_path), trials=0)


def test_search_spaces_are_arguments_of_fit(tmp_path):
    trial = open_study(tmp_path).ask()
    assert {"beta", "latent_dim", "hidden_dim", "dropout", "learning_rate"} <= set(sweeps.vae_dials(trial))
    assert {"rank", "alpha", "dropout", "learning_rate", "epochs"} <= set(sweeps.captioner_dials(trial))


@pytest.mark.parametrize("dials", [sweeps.vae_dials, sweeps.captioner_dials])
def test_the_best_trial_gives_all_its_dials_back(tmp_path, dials):
    given = []

    def evaluate(trial):
        given.append(dials(trial))
        return {OBJECTIVE: given[-1]["learning_rate"]}

    best = optimise(open_study(tmp_path), evaluate, trials=3)
    assert dials(best) == given[best.number]


def _work(folder, seed: int) -> None:
    study_database._HEARTBEAT = 2  # this process is a new one

    def slow(trial):
        time.sleep(0.3)
        return parabola(trial)

    optimise(open_study(folder), slow, trials=12, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_two_processes_share_a_study_and_one_may_die(tmp_path, monkeypatch, killed):
    """Twelve trials, each run to its end once: the dead process's one is run again with its parameters."""
    monkeypatch.setattr(study_database, "_HEARTBEAT", 2)
    study = open_study(tmp_path)
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang on a lock of theirs
    first, second = (context.Process(target=_work, args=(tmp_path, 0)) for _ in range(2))
    first.start()
    second.start()
    deadline = time.monotonic() + 120
    while len(study.get_trials(deepcopy=False)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    if killed:
        os.kill(first.pid, signal.SIGKILL)
    first.join(timeout=120)
    second.join(timeout=120)
    study = open_study(tmp_path)
    assert second.exitcode == 0
    table = sweeps.table(study)
    assert table["state"].tolist() == ["COMPLETE"] * 12
    assert table["x"].is_unique, "no trial was run twice"
    lost = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert len(lost) <= int(killed) and {trial.params["x"] for trial in lost if trial.params} <= set(table["x"])


@pytest.mark.parametrize("waiting", [False, True])
def test_a_trial_whose_process_died_before_its_first_sign_of_life_is_not_waited_for(tmp_path, monkeypatch, waiting):
    monkeypatch.setattr(study_database, "_HEARTBEAT", 1)
    study = open_study(tmp_path)
    if waiting:
        study.enqueue_trial({"x": 1.0})
    study.ask()  # and nothing after it: the process is dead
    optimise(study, trials=3)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.FAIL) == 1 and states.count(TrialState.COMPLETE) == 3


def test_an_interrupted_trial_is_run_again_when_the_sweep_goes_on(tmp_path):
    def interrupted(trial):
        parabola(trial)
        if trial.number == 2:
            raise KeyboardInterrupt
        return parabola(trial)

    with pytest.raises(KeyboardInterrupt):
        optimise(open_study(tmp_path), interrupted, trials=5)
    optimise(open_study(tmp_path), trials=5)
    resumed = sweeps.table(open_study(tmp_path))
    optimise(open_study(tmp_path, name="whole"), trials=5)
    whole = sweeps.table(open_study(tmp_path, name="whole"))
    assert set(resumed["state"]) == {"COMPLETE"} and len(resumed) == 5
    assert resumed["x"].tolist()[:3] == whole["x"].tolist()[:3], "the same draws as in one go"
    assert resumed["x"].is_unique


def test_several_objectives_give_a_pareto_front(tmp_path):
    def two(trial):
        x = trial.suggest_float("x", 0, 1)
        return {"val/cooccurrence": x, "val/novelty": 1 - x**2, "val/other": 0.0}

    study = open_study(tmp_path, objective="val/cooccurrence, val/novelty")
    best = optimise(study, two, trials=12)
    assert len(study.best_trials) == 12, "all lie on the curve"
    assert 0.4 < best.params["x"] < 0.9, "neither end, but what is near to both"
    assert {"val/cooccurrence", "val/novelty", "x"} <= set(sweeps.table(study).columns)
    assert set(study_figures.figures(study, seed=0)) == {"pareto", "timeline", "importance"}


@pytest.mark.parametrize("objective", ["val/iwae", "val/loss", "val/cooccurrence, val/novelty"])
def test_whatever_ends_as_the_best_led_when_it_ended(tmp_path, objective):
    names, led = [name.strip() for name in objective.split(",")], {}

    def evaluate(trial):
        x = trial.suggest_float("x", 0, 1)
        found = dict(zip(names, (round(x, 1), round(1 - x**2, 1)), strict=False))
        led[trial.number] = sweeps.leads(trial, found)
        sweeps.keep(trial, f"run {trial.number}")
        return found

    study = open_study(tmp_path, objective=objective)
    for trials in range(1, 13):
        best = optimise(study, evaluate, trials=trials)
        assert led[best.number] and sweeps.kept(best) == f"run {best.number}"
    assert len(names) > 1 or not all(led.values())


def test_a_trial_that_no_run_keeps_is_refused(tmp_path):
    best = optimise(open_study(tmp_path), trials=1)
    with pytest.raises(Failure, match="expected trial 0 to name the run that keeps its model, got none"):
        sweeps.kept(best)


def test_a_missing_objective_fails_the_trial(tmp_path):
    with pytest.raises(Failure, match="to complete, got FAIL"):
        optimise(open_study(tmp_path), lambda trial: {"val/elbo": 0.0}, trials=1)


def test_figures_are_drawn(tmp_path):
    study = open_study(tmp_path)
    optimise(study, trials=3)
    assert set(study_figures.figures(study, seed=0)) == {"history", "timeline"}
    optimise(study, trials=6)
    assert set(study_figures.figures(study, seed=0)) == {"history", "timeline", "importance", "slice", "parallel"}


@pytest.mark.parametrize("attempt", range(5))
def test_processes_that_open_a_new_database_at_once_all_get_it(tmp_path, monkeypatch, attempt):
    monkeypatch.setattr(study_database, "_POLL", 0.1)
    together = threading.Barrier(4)

    def begin(number: int) -> str:
        together.wait(timeout=30)
        return open_study(tmp_path, name=f"study {number}").study_name

    (tmp_path / "study").mkdir()
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, range(4))) == [f"study {number}" for number in range(4)]


def test_a_database_that_is_gone_is_waited_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(study_database, "_POLL", 0)
    study = open_study(tmp_path)
    refused = [OperationalError("SELECT 1", {}, Exception("server closed the connection"))] * 3
    create = study_database.Storage._create_new_trial

    def restarted(*arguments, **named):
        if refused:
            raise refused.pop()
        return create(*arguments, **named)

    monkeypatch.setattr(study_database.Storage, "_create_new_trial", study_database._waiting(restarted))
    optimise(study, trials=2)
    assert not refused and sweeps.table(study)["state"].tolist() == ["COMPLETE"] * 2
    assert caplog.messages.count("no answer from the study's database: waiting for it") == 3
    monkeypatch.setattr(study_database, "_PATIENCE", -1)
    refused += [OperationalError("SELECT 1", {}, Exception("server closed the connection"))]
    with pytest.raises(OperationalError):
        optimise(study, trials=3)


def test_a_database_that_does_not_answer_is_one_line_without_its_password():
    with pytest.raises(ConnectionError, match=r"storage=postgresql://me:\*\*\*@127.0.0.1:9/study, got: .*refused"):
        sweeps.open_study(name="test", storage="postgresql://me:s3cret@127.0.0.1:9/study", objective=OBJECTIVE)
