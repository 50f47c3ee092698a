"""Fixtures shared by all tests: a real tracking store, the real corpus, a working folder of its own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

# A busy machine takes longer than Ray waits for its own processes, which would run at niceness 15.
os.environ |= {"RAY_raylet_start_wait_time_s": "300", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Debian's Chromium without a window, with its console kept."""
    options = ChromeOptions()
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run", "disable-quic"]
    flags += [f"user-data-dir={tmp_path_factory.mktemp('profile')}", "autoplay-policy=no-user-gesture-required"]
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=ChromeService(shutil.which("chromedriver"))) as driver:
        yield driver


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite store with its tables made, which takes seconds; ``store`` copies it."""
    folder = tmp_path_factory.mktemp("store")
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[Path]:
    """A fresh sqlite store and an empty working folder; stages run as if started by hand."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    yield tmp_path
    while mlflow.active_run():
        mlflow.end_run("KILLED")


@pytest.fixture(scope="session")
def musiccaps_csv() -> Path:
    """The MusicCaps rows that measurements use; they are not part of this repository."""
    path = DATA / "musiccaps.csv"
    if not path.exists():
        pytest.skip("needs ../shared/data/musiccaps.csv beside the checkout")
    return path
