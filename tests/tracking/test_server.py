"""Whether a server answers, and waiting for one that is about to."""

import http.server
import threading

import mlflow
import pytest

from conceptcaps.tracking import server


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
    assert "waiting for the tracking server at http://127.0.0.1:" in capsys.readouterr().err


def test_its_patience_ends(away, monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE", 0.2)
    with pytest.raises(ConnectionError, match="start it"):
        server.require(patient=True)
