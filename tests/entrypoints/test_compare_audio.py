"""Makers of audio side by side: clips of the same id in pairs, and the one that is like the reference is nearer."""

import mlflow
import numpy as np
import pandas as pd

from conceptcaps import tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import embeddings
from tests import stages, toy_clips


def test_makers_of_the_same_clips_are_compared_in_pairs(store, monkeypatch):
    rows = toy_clips.rows(12, seconds=0.6)
    quiet = rows.assign(
        audio=[
            {"bytes": toy_clips.flac(0.1 * toy_clips.waveform(tags, seed=seed, seconds=0.6)), "path": "a.flac"}
            for tags, seed in zip(rows["tags"], rows["seed"], strict=True)
        ]
    )
    monkeypatch.setattr(
        embeddings, "musicnn_means", lambda clips, **_: {"penultimate": np.array([[len(c), len(c) % 7] for c in clips])}
    )
    loud, soft = toy_clips.folder(store / "loud", rows), toy_clips.folder(store / "soft", quiet)
    assert Clips.open(loud).ids == Clips.open(soft).ids
    run = stages.run("compare_audio", makers=f"loud={loud},soft={soft}", reference=loud, embedding="musicnn_mtt")
    table = pd.read_parquet(tracking.fetch(f"runs:/{run}/differences.parquet")).set_index("score")
    assert table["paired"].all() and (table["n"] == 12).all()
    louder = table.loc["loudness"]
    assert louder["difference"] > 15 and louder["low"] > 15 and louder["q_value"] < 0.05
    assert table.loc["nearest_musicnn_mtt", "first_mean"] == 0 < table.loc["nearest_musicnn_mtt", "second_mean"]
    assert tracking.metrics(run)["makers/count"] == 2


def test_makers_of_unlike_numbers_are_compared_at_one_size(store, monkeypatch):
    """FAD falls as a set grows: who made more clips would win by that alone."""
    rows = toy_clips.rows(24, seconds=0.6)
    one, few = toy_clips.folder(store / "one", rows), toy_clips.folder(store / "few", rows[:10])
    monkeypatch.setattr(
        embeddings, "musicnn_means", lambda clips, **_: {"penultimate": np.array([[len(c), len(c) % 7] for c in clips])}
    )
    run = stages.run("compare_audio", makers=f"one={one},few={few}", reference=one, embedding="musicnn_mtt")
    children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run}'", output_format="list")
    assert {child.data.metrics["audio/n_musicnn_mtt"] for child in children} == {10}
    assert {child.data.metrics["audio/clips"] for child in children} == {10, 24}
