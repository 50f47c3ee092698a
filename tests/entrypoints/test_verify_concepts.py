"""The stage on toy clips: the verification that the dataset builder reads, and what the detectors are worth."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from conceptcaps import tracking
from conceptcaps.cache import root
from conceptcaps.listening import embeddings
from entrypoints import verify_concepts
from tests import toy_clips


@pytest.fixture
def cache(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "packages").symlink_to(root() / "packages")
    monkeypatch.setenv("CONCEPTCAPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_verifies_every_asked_tag_of_every_clip(store, cache, monkeypatch):
    frame = toy_clips.rows(24)
    verify_concepts.main(["--audio", str(toy_clips.folder(Path("audio"), frame))])
    run = tracking.latest("verify_concepts")
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run, artifact_path="verification"))
    found = pd.read_parquet(folder / "verification.parquet")
    assert list(found.columns) == ["id", "tag", "score", "verdict", "detector"]
    asked = [(row.id, tag) for row in frame.itertuples() for tag in row.tags]
    assert list(zip(found["id"], found["tag"], strict=True)) == asked
    assert set(found["verdict"]) <= {"present", "absent", "uncertain"}
    unheard = found["detector"] == "none"
    assert found["score"][unheard].isna().all() and (found["verdict"][unheard] == "uncertain").all()
    assert found["score"][~unheard].between(0, 1).all()
    assert set(found["tag"][unheard]) == {"bass", "dark", "epic", "dreamy", "playful"}

    metrics = tracking.metrics(run)
    rates = [metrics[f"verify/{name}_rate"] for name in ("present", "absent", "uncertain")]
    assert sum(rates) == pytest.approx(1) and rates[0] == pytest.approx((found["verdict"] == "present").mean())
    detectors = pd.read_parquet(folder / "detectors.parquet")
    assert metrics["verify/auc_mean"] == pytest.approx(np.nanmean(detectors["auc"]))
    assert metrics["verify/auc_mean_low"] <= metrics["verify/auc_mean"] <= metrics["verify/auc_mean_high"]
    assert detectors.set_index("tag")["auc"]["techno"] > 0.8  # thumps of a low tone
    figures = mlflow.artifacts.download_artifacts(run_id=run, artifact_path="figures")
    assert [path.name for path in Path(figures).iterdir()] == ["detectors.png"]

    def refuse(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr(embeddings.torch, "inference_mode", refuse)  # the second time everything is in the cache
    verify_concepts.main(["--audio", "audio"])
    assert tracking.metrics(tracking.latest("verify_concepts")) == metrics


def test_refuses_an_unfinished_folder(store, cache):
    Path("unfinished").mkdir()
    with pytest.raises(ValueError, match="finished folder of shards"):
        verify_concepts.main(["--audio", "unfinished"])
