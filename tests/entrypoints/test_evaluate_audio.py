"""The stage on toy clips: what it logs, against a reference and alone, with and without CLAP."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from conceptcaps import tracking
from conceptcaps.workspace.cache import root
from entrypoints import evaluate_audio
from tests import toy_clips


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def stage(store, cache, monkeypatch):
    """Runs the stage with an embedding cache of its own and gives the run's id."""
    packages = root() / "packages"
    (cache / "packages").exists() or (cache / "packages").symlink_to(packages)
    monkeypatch.setenv("CONCEPTCAPS_CACHE", str(cache))

    def run(**parameters):
        values = {"reference": "self", "clap_checkpoint": "none", "embedding": "musicnn_mtt", "seed": 0, **parameters}
        order = ("audio", "reference", "clap_checkpoint", "embedding", "seed")
        evaluate_audio.main([part for name in order for part in (f"--{name}", str(values[name]))])
        return tracking.latest("evaluate_audio")

    return run


def clips(name, count=16, *, tags=None):
    frame = toy_clips.rows(count)
    if tags:
        frame = frame[[tags in row for row in frame["tags"]]].reset_index(drop=True)
    return toy_clips.folder(Path(name), frame)


def artifact(run, name):
    return Path(mlflow.artifacts.download_artifacts(run_id=run, artifact_path=name))


def test_alone_it_compares_halves_and_says_so(stage):
    run = stage(audio=clips("audio"))
    metrics = tracking.metrics(run)
    assert metrics["audio/clips"] == 16 and metrics["audio/failed"] == 0
    assert metrics["audio/n_musicnn_mtt"] == 8
    low, value, high = (metrics[f"audio/fad_split_half_musicnn_mtt{end}"] for end in ("_low", "", "_high"))
    assert 0 < low <= value <= high
    assert not {name for name in metrics if "fad" in name and "split_half" not in name}
    assert not {name for name in metrics if "clap" in name or "msd" in name}
    items = pd.read_parquet(artifact(run, "per_item.parquet"))
    assert list(items.columns) == ["id", "error", "loudness"] and len(items) == 16
    assert np.isfinite(items["loudness"]).all()
    assert {path.name for path in artifact(run, "figures").iterdir()} == {"loudness.png"}, (
        "16 clips of 200 dimensions have no FAD-inf"
    )
    assert "16 clips" in tracking.tags(run)["warning"]
    assert mlflow.get_run(run).inputs.dataset_inputs[0].dataset.name == "audio"


def test_other_audio_is_further_away_than_the_noise_floor(stage):
    audio = clips("audio", 36, tags="techno")
    run = stage(audio=audio, reference=clips("reference", 36, tags="metal"))
    metrics = tracking.metrics(run)
    assert metrics["audio/fad_half_musicnn_mtt"] > 3 * metrics["audio/fad_floor_musicnn_mtt"]
    assert metrics["audio/kad_musicnn_mtt_low"] > metrics["audio/kad_floor_musicnn_mtt"]
    assert {"audio/density_musicnn_mtt", "audio/coverage_musicnn_mtt", "audio/fad_musicnn_mtt_high"} <= set(metrics)
    names = {entry.dataset.name for entry in mlflow.get_run(run).inputs.dataset_inputs}
    assert names == {"audio", "reference"}
    near = tracking.metrics(stage(audio=audio, reference=audio))
    assert near["audio/fad_musicnn_mtt"] < 1e-6 * metrics["audio/fad_musicnn_mtt"] + 1e-6
    assert near["audio/kad_musicnn_mtt"] < 0


def test_both_embeddings_and_the_same_seed_give_the_same_numbers(stage):
    first = tracking.metrics(stage(audio=clips("audio"), embedding="musicnn_mtt,musicnn_msd"))
    assert {"audio/kad_split_half_musicnn_mtt", "audio/kad_split_half_musicnn_msd"} <= set(first)
    assert tracking.metrics(stage(audio="audio", embedding="musicnn_mtt,musicnn_msd")) == first
    assert tracking.metrics(stage(audio="audio", embedding="musicnn_mtt,musicnn_msd", seed=1)) != first


class FakeClap:
    """Stands in for the network alone: hears loudness as one direction and reads every caption as it."""

    sha256 = "f" * 64

    def embed_clip(self, clip):
        return {"clap": np.array([1.0, len(clip) % 7], dtype=np.float32)}

    def embed_text(self, texts):
        return np.tile(np.array([1.0, 0.0], dtype=np.float32), (len(texts), 1))


def test_clap_score_with_interval_and_control(stage, monkeypatch, tmp_path):
    (tmp_path / "clap.pt").touch()
    monkeypatch.setattr(evaluate_audio.clap, "load", lambda path, device: FakeClap())
    run = stage(audio=clips("audio"), clap_checkpoint="clap.pt")
    metrics, items = tracking.metrics(run), pd.read_parquet(artifact(run, "per_item.parquet"))
    assert metrics["audio/clap_score"] == pytest.approx(items["audio/clap_score"].mean())
    assert metrics["audio/clap_score_low"] < metrics["audio/clap_score"] < metrics["audio/clap_score_high"]
    assert metrics["audio/clap_gain"] == pytest.approx(0, abs=1e-9)  # one caption for all tells nothing
    assert tracking.tags(run)["clap_sha256"] == "f" * 64


def test_refuses_an_unknown_embedding_and_too_few_clips(stage):
    with pytest.raises(ValueError, match="among musicnn_mtt, musicnn_msd, got 'vggish'"):
        stage(audio=clips("audio"), embedding="vggish")
    with pytest.raises(ValueError, match="8 clips or more"):
        stage(audio=clips("few", 4))


def test_a_clip_under_the_gate_of_loudness_is_a_row_without_it(stage):
    """Heard as no silence, and yet too quiet for BS.1770 to give it a loudness."""
    frame = toy_clips.rows(16)
    faint = toy_clips.flac(3e-4 * np.sin(np.arange(3 * toy_clips.RATE) * 0.04))
    frame["audio"] = [{"bytes": faint, "path": "a.flac"}, *frame["audio"][1:]]
    run = stage(audio=toy_clips.folder(Path("audio"), frame))
    items = pd.read_parquet(artifact(run, "per_item.parquet"))
    assert items["loudness"].isna().sum() == 1 and len(items) == 16
