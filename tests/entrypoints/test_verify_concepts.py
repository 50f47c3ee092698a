"""Verification as a stage: every clip keeps its rows, what nobody can hear has a reason, recordings take labels."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from conceptcaps import tracking
from conceptcaps.errors import InputError
from conceptcaps.listening import hearing, trials, verifier
from conceptcaps.workspace import shards
from tests import stages, toy_clips


@pytest.fixture
def detectors(tmp_path, monkeypatch):
    """A verifier of two tags; the probability of the first is the logistic of the first feature."""
    ones, zeros = np.ones(2), np.zeros(2)
    worth = {"piano": 0.9, "drums": 0.9}
    shape = {"mean": zeros, "components": np.eye(2), "weights": np.eye(2), "bias": zeros, "slope": ones}
    limits = {"intercept": zeros, "present": 0.8 * ones, "absent": 0.2 * ones, "auc": worth, "auc_low": worth}
    verifier.save(verifier.Verifier(tags=("piano", "drums"), **shape, **limits), tmp_path / "verifier")
    heard = lambda clips, cache: np.array([[len(clip) % 7 - 3, 5] for clip in clips], dtype=np.float32)  # noqa: E731
    monkeypatch.setattr(hearing, "features", heard)
    return tmp_path / "verifier"


def verification(run: str) -> pd.DataFrame:
    return pd.read_parquet(tracking.fetch(f"runs:/{run}/verification") / "verification.parquet")


def test_recordings_keep_their_rows_with_labels_and_reasons(store, detectors):
    folder = store / "recordings"
    folder.mkdir()
    sound = np.sin(np.arange(2 * toy_clips.RATE) / 9).astype(np.float32) / 2
    for number in range(11):
        (folder / f"{number:02d}.flac").write_bytes(toy_clips.flac(sound[: len(sound) - 97 * number]))
    (folder / "11.flac").write_bytes(b"no audio")
    labels = pd.DataFrame({"id": ["00.flac", "01.flac"], "tag": ["Piano", "drums"], "truth": [1, 0]})
    labels.to_csv(store / "labels.csv", index=False)
    run = stages.run("verify_concepts", audio=folder, verifier=detectors, labels=store / "labels.csv")
    frame = verification(run)
    assert len(frame) == 24 and list(frame["id"].unique()) == [f"{number:02d}.flac" for number in range(12)]
    broken = frame[frame["id"] == "11.flac"]
    assert set(broken["verdict"]) == {"none"} and broken["probability"].isna().all()
    assert broken["error"].str.startswith("unreadable").all()
    by_row = frame.set_index(["id", "tag"])
    assert by_row.loc[("00.flac", "piano"), "truth"] == "present"
    assert by_row.loc[("01.flac", "drums"), ["truth", "verdict"]].tolist() == ["absent", "present"]
    metrics = tracking.metrics(run)
    assert metrics["verify/failed"] == 1 and metrics["verify/false_present_rate"] == 1


def test_refuses_too_many_broken_clips(store, detectors):
    (store / "recordings").mkdir()
    for number in range(3):
        (store / "recordings" / f"{number}.ogg").write_bytes(b"no audio")
    with pytest.raises(ValueError, match="at most 10% of 3 rows to fail, got 3"):
        stages.run("verify_concepts", audio=store / "recordings", verifier=detectors)


def test_a_listening_test_comes_back_as_agreement(store, detectors):
    rows = toy_clips.rows(16, seconds=0.6)
    present = [[tag for tag in ("piano", "bass") if tag in tags] for tags in rows["tags"]]
    absent = [[tag for tag in ("piano", "bass") if tag not in tags] for tags in rows["tags"]]
    field = pa.list_(pa.string())
    schema = toy_clips.SCHEMA.append(pa.field("present", field)).append(pa.field("absent", field))
    settings = {"schema": schema, "shard_size": 16, "settings": {}, "description": "clips"}
    frame = rows.assign(present=present, absent=absent)
    shards.map_shards(lambda part: part, frame, out=str(store / "audio"), **settings)
    run = stages.run("listening_test", audio=store / "audio", tags="piano", count=8)
    asked = pd.read_parquet(tracking.fetch(f"runs:/{run}/trials.parquet"))
    assert "Do you hear" in tracking.fetch(f"runs:/{run}/listening_test.html").read_text()
    assert tracking.metrics(run) == {"trials/all": len(asked), "trials/clips": 8, "trials/tags": 1}
    truth = dict(zip(frame["id"], ("piano" in tags for tags in present), strict=True)) | trials.CATCH
    answers = asked.assign(listener="Ada", answer=asked["id"].map(truth).astype(int))
    answers.to_csv(store / "ada.csv", index=False)
    run = stages.run("verify_concepts", audio=store / "audio", verifier=detectors, ratings=store / "ada.csv")
    metrics = tracking.metrics(run)
    assert metrics["ratings/kappa_truth"] == metrics["ratings/accuracy"] == 1 and metrics["ratings/caught"] == 0
    table = pd.read_parquet(tracking.fetch(f"runs:/{run}/verification/ratings.parquet"))
    assert len(table) == 8 and set(table["truth"]) == {"present", "absent"}


def test_a_clip_that_failed_in_one_font_is_left_out_there_alone(store, monkeypatch):
    """The same pieces in two fonts have the same ids: what is heard stays beside its own row."""
    frame = toy_clips.rows(60)
    has = frame["tags"].map(lambda tags: "piano" in tags)
    facts = {"present": [["piano"] if own else [] for own in has], "absent": [[] if own else ["piano"] for own in has]}
    frame = frame.assign(**facts, group=frame["id"], error=None)
    schema = toy_clips.SCHEMA
    for name, kind in {"present": 1, "absent": 1, "group": 0, "soundfont": 0, "error": 0}.items():
        schema = schema.append(pa.field(name, pa.list_(pa.string()) if kind else pa.string()))
    folders = []
    for font in ("one", "two"):
        own = frame.assign(soundfont=font)
        if font == "two":
            own.loc[3, "error"] = "silent"
            own["audio"] = [None if place == 3 else audio for place, audio in enumerate(own["audio"])]
        folder = store / font
        dials = {"out": str(folder), "schema": schema, "shard_size": 32, "settings": {"font": font}}
        shards.map_shards(lambda part: part, own, description="toy clips", **dials)
        folders.append(str(folder))
    heard = lambda clips, cache: [[np.array([len(clip), len(clip) % 7], dtype=np.float32) for clip in clips]]  # noqa: E731
    monkeypatch.setattr(hearing, "_parts", heard)
    told = {}

    def fit(features, truth, **given):
        told.update(features=features, truth=truth["piano"], **given)
        raise InputError("seen")

    monkeypatch.setattr(verifier, "fit", fit)
    with pytest.raises(ValueError, match="seen"):
        stages.run("train_verifier", concepts=",".join(folders))
    clips = {font: [audio["bytes"] for audio in frame["audio"]] for font in ("one", "two")}
    lengths = [len(clip) for clip in clips["one"]] + [
        len(clip) for place, clip in enumerate(clips["two"]) if place != 3
    ]
    assert told["features"][:][:, 0].tolist() == lengths and len(told["sources"]) == 119
    assert told["truth"].tolist() == [*has.astype(float), *has.drop(3).astype(float)]

    loose = {**dials, "out": str(store / "loose"), "schema": schema.remove(schema.get_field_index("group"))}
    shards.map_shards(lambda part: part, own.drop(columns="group").drop(3), description="toy clips", **loose)
    with pytest.raises(ValueError, match="seen"):
        stages.run("train_verifier", concepts=folders[0], clips=store / "loose", most=20)
    assert len(told["features"]) == 80 and told["groups"][:60] == frame["id"].tolist()
    drawn = told["groups"][60:]
    assert len(set(drawn)) == 20 and drawn == sorted(drawn, key=frame["id"].tolist().index), "each is its own group"
