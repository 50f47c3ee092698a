"""The tracking layer against a real ``mlflow server``, a model served over HTTP, and a server that is awaited."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import requests

from conceptcaps import tracking
from conceptcaps.tracking import server
from tests import toy_model

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(command: list[str], *, path: str, cwd: Path) -> Iterator[str]:
    """Start an mlflow command on a free port and yield its address once ``path`` answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # uvicorn is looked for there
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": programs}
    log = (cwd / f"{port}.log").open("w+")
    full = [sys.executable, "-m", "mlflow", *command, "--port", port, "--host", "127.0.0.1"]
    process = subprocess.Popen(full, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).ok:
                    yield f"http://127.0.0.1:{port}"
                    return
            except requests.ConnectionError:
                time.sleep(0.5)
        log.seek(0)
        raise AssertionError(f"{' '.join(full)} did not answer: {log.read()[-3000:]}")
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)
        log.close()


@pytest.mark.slow
def test_stages_log_to_a_server_and_read_back_from_it(store):
    command = ["server", "--backend-store-uri", f"sqlite:///{store}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(store / "artifacts")]
    with serving(command, path="/health", cwd=store) as address:
        mlflow.set_tracking_uri(address)
        frame = pd.DataFrame({"id": ["a"], "tags": [["jazz"]]})
        with tracking.run("distill_tags", {"seed": 0}) as run_id:
            tracking.log_frame(frame, "tag_sets/train.parquet")
            tracking.log_dataset(frame, name="train", source=f"runs:/{run_id}/tag_sets", context="training")
            weights = toy_model.save(store / "weights", offset=3)
            tracking.register(
                "toy", weights, module="tests.toy_model", example=pd.DataFrame({"x": [1.0]}), metrics={"val/loss": 0.1}
            )
        assert tracking.info(run_id)["status"] == "FINISHED"
        assert pd.read_parquet(tracking.fetch(f"runs:/{run_id}/tag_sets") / "train.parquet")["id"].tolist() == ["a"]
        assert toy_model.load(tracking.fetch("models:/toy@candidate")) == 3
        assert mlflow.pyfunc.load_model("models:/toy/1").predict(pd.DataFrame({"x": [4.0]}))["y"].tolist() == [7.0]


class Healthy(http.server.BaseHTTPRequestHandler):
    """Answers every request with an empty 200."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def away(monkeypatch):
    """A server that does not listen yet, and is the tracking server."""
    there = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy, bind_and_activate=False)
    there.server_bind()
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: f"http://127.0.0.1:{there.server_port}")
    monkeypatch.setattr(server, "_require_login", lambda uri: None)
    monkeypatch.setattr(server, "_PAUSE", 0.05)
    yield there
    there.server_close()


def test_a_stage_by_hand_does_not_wait_for_a_server_that_is_away(away, capsys):
    with pytest.raises(ConnectionError, match="expected a tracking server at MLFLOW_TRACKING_URI=http://127.0.0.1:"):
        server.require()
    assert "waiting" not in capsys.readouterr().err


def test_a_step_of_a_pipeline_waits_for_it_and_says_so(away, capsys):
    def come_back() -> None:
        away.server_activate()
        away.serve_forever(poll_interval=0.05)

    timer = threading.Timer(0.3, come_back)
    timer.start()
    try:
        server.require(patient=True)
    finally:
        away.shutdown()
        timer.join()
    assert capsys.readouterr().err.count("waiting for the tracking server at http://127.0.0.1:") == 1


def test_its_patience_ends(away, monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE", 0.2)
    with pytest.raises(ConnectionError, match="start it"):
        server.require(patient=True)
