"""Promotions at once, by processes: they end as if they had come one after another."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from conceptcaps import tracking
from conceptcaps.errors import Refused
from entrypoints import promote

PROCESSES = 4
ROUNDS = 3  # a process each promotes one version in every round


def versions(store: Path, losses: list[float]) -> None:
    """Versions 1, 2 … of a model, each with its loss on two validation rows; registered without their weights."""
    client = mlflow.MlflowClient()
    client.create_registered_model("toy")
    for loss in losses:
        with tracking.run("train", {}) as run:
            tracking.log_frame(pd.DataFrame({"id": ["a", "b"], "val/loss": [loss, loss]}), "per_item.parquet")
        client.create_model_version("toy", source=f"runs:/{run}/model", run_id=run)


def work(place: int, barrier, rounds: int) -> None:
    for number in range(rounds):
        barrier.wait()
        try:
            promote.main(["--model", f"models:/toy/{1 + number * PROCESSES + place}", "--metric", "val/loss"])
        except Refused:
            pass
        barrier.wait()


@pytest.mark.slow
def test_promotions_at_once_end_with_the_best(store, monkeypatch):
    draws = random.Random(0)
    losses = [
        float(place - PROCESSES * number)  # all of a round are better than all before, one of them is the best
        for number in range(ROUNDS)
        for place in draws.sample(range(PROCESSES), PROCESSES)
    ]
    versions(store, losses)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES + 1)
    workers = [context.Process(target=work, args=(place, barrier, ROUNDS)) for place in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for number in range(ROUNDS):
        barrier.wait(timeout=300)
        barrier.wait(timeout=300)
        seen = losses[: (number + 1) * PROCESSES]
        champion = int(tracking.alias_version("toy", "champion"))
        assert losses[champion - 1] == min(seen), f"round {number}: a worse version is champion"
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    _serial(losses)


def _serial(losses: list[float]) -> None:
    """Each promotion met the champion that the one before it left, and each champion was better than the last."""
    runs = mlflow.search_runs(filter_string="tags.stage = 'promote'", output_format="list", max_results=1000)
    changes = [
        (run.data.tags["champion_before"], run.data.tags["candidate"]) for run in runs if run.data.metrics["promoted"]
    ]
    follows = dict(changes)
    assert len(follows) == len(changes), "two promotions replaced the same champion"
    chain = ["none"]
    while chain[-1] in follows:
        chain.append(follows[chain[-1]])
    assert len(chain) == len(changes) + 1
    best = [losses[int(version) - 1] for version in chain[1:]]
    assert best == sorted(best, reverse=True)


def hold(name: str) -> None:
    with tracking.run("promote", {}), tracking.turn(name):
        Path("held").touch()
        time.sleep(300)


@pytest.mark.slow
def test_a_turn_ends_with_its_process(store):
    holder = multiprocessing.get_context("spawn").Process(target=hold, args=("toy",))
    holder.start()
    deadline = time.monotonic() + 120
    while not Path("held").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with tracking.run("promote", {}), tracking.turn("toy"):
        pass
    statuses = {run.info.status for run in mlflow.search_runs(output_format="list")}
    assert statuses == {"KILLED", "FINISHED"}


def test_turns_of_two_models_do_not_wait_for_each_other(store):
    with tracking.run("promote", {}), tracking.turn("one"):
        with tracking.child_run("promote", {}), tracking.turn("two"):
            pass
    assert not [tag for run in mlflow.search_runs(output_format="list") for tag in run.data.tags if "turn" in tag]
