"""A served model in a process of its own, without the checkout: what it answers to good rows and to bad ones."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient

from conceptcaps import tracking
from conceptcaps.errors import InputError
from conceptcaps.tracking import served
from tests import toy_model

DEFAULTS = {"x": 1.0, "y": 2}


def load(path: Path) -> int:
    return toy_model.load(path)


def predict(model: int, frame: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    time.sleep(max(frame["x"].max() - 90, 0))
    if (frame["x"] < 0).any():
        raise InputError("expected x of at least 0,\n got less")
    if (frame["x"] > 100).any():
        raise KeyError("a bug")
    return pd.DataFrame({"z": frame["x"] + frame["y"] + model + seed})


@pytest.fixture
def server(store, monkeypatch):
    monkeypatch.setenv(served.TIMEOUT.name, "30")  # put back when the test ends
    with tracking.run("train", {}):
        weights = toy_model.save(store / "weights", offset=10)
        tracking.register("toy", weights, module="tests.tracking.test_served", example=pd.DataFrame({"x": [1.0]}))
    return TestClient(scoring_server.init(mlflow.pyfunc.load_model("models:/toy/1")), raise_server_exceptions=False)


def ask(server: TestClient, **body: object):
    return server.post("/invocations", json=body)


def test_columns_may_be_left_out_and_a_seed_given(server):
    inputs = mlflow.models.get_model_info("models:/toy/1").signature.inputs
    assert {column.name: column.required for column in inputs} == {"x": False, "y": False}
    assert ask(server, dataframe_records=[{"x": 5.0}]).json() == {"predictions": [{"z": 17.0}]}
    assert ask(server, dataframe_records=[{"y": 1}]).json() == {"predictions": [{"z": 12.0}]}
    assert ask(server, dataframe_records=[{"y": 1}], params={"seed": 3}).json() == {"predictions": [{"z": 15.0}]}


def test_bad_rows_are_answered_by_one_sentence(server):
    answer = ask(server, dataframe_records=[{"x": -1.0}])
    assert answer.status_code == 400
    assert answer.json() == {"error_code": "BAD_REQUEST", "message": "expected x of at least 0, got less"}


def test_a_fault_of_the_model_shows_nothing_of_the_server(server):
    answer = ask(server, dataframe_records=[{"x": 101.0}])
    assert answer.status_code == 500
    assert answer.json()["message"] == "the model failed on these rows; the server's log says why"
    wrong = ask(server, dataframe_records=[{"x": "many"}])
    assert wrong.status_code == 400 and "Traceback" not in wrong.text and ".py" not in wrong.text


@pytest.mark.parametrize(("limit", "status"), [("2", 200), ("1", 504)])
def test_a_request_may_take_longer_than_mlflow_s_own_limit_unless_the_user_says_how_long(
    server, monkeypatch, limit, status
):
    monkeypatch.setattr(served.TIMEOUT, "default", 2)
    monkeypatch.setenv(served.TIMEOUT.name, limit)
    patient = TestClient(scoring_server.init(mlflow.pyfunc.load_model("models:/toy/1")))
    assert ask(patient, dataframe_records=[{"x": 93.0}]).status_code == status, "it takes 3 seconds"


@pytest.mark.slow
def test_a_version_runs_without_the_checkout(store):
    with tracking.run("train", {}):
        weights = toy_model.save(store / "weights", offset=10)
        tracking.register("toy", weights, module="tests.toy_model", example=pd.DataFrame({"x": [1.0]}))
    folder = tracking.fetch("models:/toy/1").parents[1]
    code = (
        "import sys, mlflow, pandas; "
        f"model = mlflow.pyfunc.load_model({str(folder)!r}); "
        "print(model.predict(pandas.DataFrame({'x': [1.0]}))['y'].tolist()); "
        "import tests.toy_model; print(tests.toy_model.__file__)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=store, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer, place = done.stdout.splitlines()[-2:]
    assert json.loads(answer) == [11.0]
    assert "/conceptcaps-" in place and not Path(place).exists(), "unpacked for as long as it runs"
