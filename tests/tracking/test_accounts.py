"""Stages against ``mlflow server --app-name basic-auth`` on PostgreSQL: end to end, refused, and through a restart.

The server binary of PostgreSQL is Debian's (``apt-get install postgresql``); it runs as this user, or as ``nobody``
where this user is root, which PostgreSQL refuses.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import requests
import yaml

from conceptcaps import tracking
from conceptcaps.errors import masked
from tests import stages

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DATABASE, ADMIN, READER = "of the database 1", "of the admin 2", "of the reader 3"
DOWN = 15.0  # seconds without a server; CHANGELOG has a minute
AS = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
BIN = FOUND[-1] if FOUND else Path(shutil.which("initdb") or "/nowhere/initdb").parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def database():
    """Port of a PostgreSQL server of its own, which wants a password."""
    if not (BIN / "initdb").exists():
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short, and readable by nobody
    (folder / "password").write_text(DATABASE)
    for path in (folder, folder / "password"):
        shutil.chown(path, AS.get("user", os.getuid()))
    port = str(free_port())
    make = ["--auth=scram-sha-256", "--username=mlflow", f"--pwfile={folder}/password", "--no-sync"]
    subprocess.run([BIN / "initdb", "-D", folder / "data", *make], check=True, capture_output=True, cwd=folder, **AS)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    command = [BIN / "postgres", "-D", folder / "data", "-p", port, "-k", folder, *options]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **AS)
    ready = [BIN / "pg_isready", "-h", "127.0.0.1", "-p", port]
    while subprocess.run(ready, capture_output=True).returncode and process.poll() is None:
        time.sleep(0.2)
    yield port
    process.terminate()
    process.wait(timeout=30)
    shutil.rmtree(folder)


class Server:
    """``mlflow server`` with accounts on one port, which can be stopped and started again."""

    def __init__(self, folder: Path, database: str) -> None:
        self.port, self.folder = free_port(), folder
        self.address = f"http://127.0.0.1:{self.port}"
        uri = f"postgresql+psycopg://mlflow@127.0.0.1:{database}/postgres"
        (folder / "accounts.ini").write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/accounts.db\n"
            "admin_username = admin\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        self.environment = os.environ | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "PGPASSWORD": DATABASE,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "accounts.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of this test",
        }
        command = ["server", "--app-name", "basic-auth", "--backend-store-uri", uri, "--workers", "1"]
        command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(self.port)]
        self.command = [sys.executable, "-m", "mlflow", *command]

    def start(self) -> None:
        log = (self.folder / "server.log").open("a")
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if requests.get(f"{self.address}/health", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.3)
        raise AssertionError((self.folder / "server.log").read_text()[-3000:])

    def stop(self) -> None:
        os.killpg(self.process.pid, 15)
        self.process.wait(timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory, database):
    found = Server(tmp_path_factory.mktemp("server"), database)
    found.start()
    account = {"username": "reader", "password": READER}
    url = f"{found.address}/api/2.0/mlflow/users/create"
    requests.post(url, json=account, auth=("admin", ADMIN), timeout=60).raise_for_status()
    yield found
    found.stop()


@pytest.fixture
def account(server, store, monkeypatch):
    """Stages log to the server, as the user that this is called with; copies go to a folder that is given."""
    (store / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(store / "copies"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    mlflow.set_tracking_uri(server.address)

    def log_in(name: str, password: str) -> Path:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        return store

    return log_in


@contextmanager
def fails(stage: str, capfd, **given):
    """The stage as a command: it ends with code 1; yields what it printed."""
    with pytest.raises(SystemExit) as stopped:
        tracking.execute(lambda: stages.run(stage, **given))
    assert stopped.value.code == 1
    yield capfd.readouterr().err


def test_stages_end_to_end_and_nothing_left_behind(account):
    store = account("admin", ADMIN)
    run = stages.run("distill_tags")
    vae = stages.run("train_vae", tag_sets=f"runs:/{run}/tag_sets", epochs=1, hidden_dim=16, latent_dim=4)
    assert {tracking.info(one)["status"] for one in (run, vae)} == {"FINISHED"}
    stages.run("promote", model="models:/conceptcaps-vae@candidate", metric="val/iwae")
    assert tracking.alias_version("conceptcaps-vae", "champion") == "1"
    samples = stages.run("sample_tags", tag_sets=f"runs:/{run}/tag_sets", count=5)
    assert list((store / "copies").iterdir()) == [], "copies of what lies on the server go with the run"
    assert len(pd.read_parquet(tracking.fetch(f"runs:/{samples}/samples") / "samples.parquet")) == 5


def test_a_wrong_password_is_one_line_that_does_not_hold_it(account, server, capfd):
    account("admin", "a wrong one 4")
    with fails("distill_tags", capfd) as told:
        lines = told.strip().splitlines()
    assert lines[-1].startswith("error: expected MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    assert not any(secret in told for secret in ("a wrong one 4", ADMIN, DATABASE)) and "Traceback" not in told


def test_a_user_who_may_only_read_leaves_no_run(account, capfd):
    account("admin", ADMIN)
    before = len(tracking.store.search("attributes.status != ''"))
    account("reader", READER)
    with fails("distill_tags", capfd) as told:
        assert "who may write to the experiment, got 'reader' who may only read" in told and "Traceback" not in told
    account("admin", ADMIN)
    assert len(tracking.store.search("attributes.status != ''")) == before


def test_compose_names_no_password():
    text = (ROOT / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert masked(text) == text and {"database", "objects", "mlflow"} <= set(services)
    given = [value for service in services.values() for value in service.get("environment", {}).items()]
    assert all(str(value).startswith("${") for name, value in given if re.search("PASSWORD|SECRET", name))


def test_compose_installs_by_the_lock_file_with_what_takes_its_hashes():
    image = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["mlflow"]["build"]["dockerfile_inline"]
    (line,) = [line for line in image.splitlines() if "-c /requirements.txt" in line]
    assert "--hash=" in (ROOT / "requirements.txt").read_text()
    assert line.startswith("RUN uv pip install --system"), "pip ends with an error at hashes of constraints"


def test_a_restart_in_the_middle_is_waited_for(account, server, capfd):
    account("admin", ADMIN)
    down = float(os.environ.get("CONCEPTCAPS_TEST_DOWN", DOWN))
    back = threading.Timer(down, server.start)
    with tracking.run("train_vae", {"seed": 0}) as run:
        server.stop()
        back.start()
        tracking.set_tags({"while": "down"})
        tracking.log_metrics({"val/loss": 1.0})
    back.join()
    assert tracking.info(run)["status"] == "FINISHED"
    assert tracking.tags(run)["while"] == "down" and tracking.metrics(run) == {"val/loss": 1.0}
    assert f"no answer from {server.address}: waiting for it" in capfd.readouterr().err


def test_no_password_is_kept_anywhere(account, server):
    account("admin", ADMIN)
    with pytest.raises(ValueError, match="expected storage without a password, got postgresql://me:"):
        with tracking.run("sweep_vae", {"storage": f"postgresql://me:{DATABASE.replace(' ', '_')}@127.0.0.1/optuna"}):
            raise AssertionError("the stage must not begin")
    kept = (server.folder / "server.log").read_text()
    for run in tracking.store.search("attributes.status != ''"):
        kept += str(run.data.params) + str(run.data.tags)
    assert not any(secret in kept for secret in (DATABASE, DATABASE.replace(" ", "_"), ADMIN, READER))
