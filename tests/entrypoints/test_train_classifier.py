import base64

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile

from conceptcaps import tracking
from entrypoints import run_tcav, train_classifier
from tests import toy_clips


def flags(audio, **changes):
    values = {
        "audio": audio, "head": "cnn", "min_clips": 4, "epochs": 6, "batch_size": 8, "learning_rate": 0.003,
        "weight_decay": 0.01, "patience": 6,
    } | changes  # fmt: skip
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def test_trains_registers_serves_and_can_be_probed(store):
    frame = toy_clips.rows(90, seconds=1.0)
    audio = toy_clips.folder(store / "audio", frame)
    train_classifier.main(flags(audio))
    run_id = tracking.latest("train_classifier")
    metrics = tracking.metrics(run_id)
    assert metrics["test/accuracy"] > metrics["test/accuracy_majority"] and metrics["test/interpretable"] == 1
    assert metrics["data/train"] + metrics["data/validation"] + metrics["data/test"] == 90
    assert metrics["data/unreadable"] == 0 and 0 <= metrics["test/calibration_error"] <= 1

    per_item = pd.read_parquet(tracking.fetch(f"runs:/{run_id}/per_item.parquet"))
    assert list(per_item.columns) == ["id", "val/nll", "val/accuracy"]
    assert per_item["val/nll"].mean() == pytest.approx(metrics["val/nll"], abs=1e-6)
    split = pd.read_parquet(tracking.fetch(f"runs:/{run_id}/clips.parquet")).set_index("id")["split"]
    assert (split[per_item["id"]] == "validation").all()
    assert tracking.fetch(f"runs:/{run_id}/figures/confusion.png").stat().st_size > 0
    assert len(mlflow.get_run(run_id).inputs.dataset_inputs) == 3

    model = mlflow.pyfunc.load_model("models:/conceptcaps-classifier@candidate")
    clip = base64.b64encode(frame["audio"][0]["bytes"]).decode()
    answer = model.predict(pd.DataFrame({"audio": [clip]}))
    assert answer["genre"][0] in toy_clips.GENRES

    version = tracking.registered_by(run_id)
    run_tcav.main(["--classifier", version, "--audio", str(audio), "--concepts", "piano", "--random_sets", "10"])
    scores = pd.read_parquet(tracking.fetch(f"runs:/{tracking.latest('run_tcav')}/tcav/scores.parquet"))
    assert set(scores["layer"]) == {"conv3", "conv4", "embedding"} and scores["interpretable"].all()


def test_a_classifier_of_permuted_labels_is_not_interpretable_and_gets_no_stars(store):
    audio = toy_clips.folder(store / "audio", toy_clips.rows(90, seconds=1.0))
    train_classifier.main(flags(audio, permute_labels=1))
    run_id = tracking.latest("train_classifier")
    assert tracking.metrics(run_id)["test/interpretable"] == 0
    version = tracking.registered_by(run_id)
    run_tcav.main(["--classifier", version, "--audio", str(audio), "--concepts", "piano", "--random_sets", "10"])
    metrics = tracking.metrics(tracking.latest("run_tcav"))
    assert metrics["tcav/interpretable_share"] == 0 and metrics["tcav/stars"] == 0


def test_gtzan_folder_trains_and_counts_its_broken_file(store):
    folder, rows = store / "gtzan", []
    for at, genre in enumerate(("classical", "metal")):
        (folder / genre).mkdir(parents=True)
        for number in range(20):
            sound = toy_clips.waveform([genre], seed=number + 100 * at, seconds=0.8)
            soundfile.write(folder / genre / f"{genre}.{number:05d}.wav", sound, 22_050)
            split = "test" if number > 15 else "validation" if number > 12 else "train"
            rows.append({"file": f"{genre}/{genre}.{number:05d}.wav", "split": split})
    (folder / "metal" / "metal.00054.wav").write_bytes(b"")
    train_classifier.main(flags(folder, epochs=2))
    run_id = tracking.latest("train_classifier")
    assert tracking.metrics(run_id)["data/unreadable"] == 1
    assert "metal.00054.wav" in tracking.fetch(f"runs:/{run_id}/unreadable.json").read_text()
    assert np.isfinite(tracking.metrics(run_id)["val/nll"])

    pd.DataFrame(rows).to_csv(store / "split.csv", index=False)
    train_classifier.main(flags(folder, epochs=2, split_file=store / "split.csv"))
    metrics = tracking.metrics(tracking.latest("train_classifier"))
    assert (metrics["data/train"], metrics["data/validation"], metrics["data/test"]) == (26, 6, 8)


def test_refuses_a_folder_without_clips_and_clips_of_one_genre(store):
    (store / "empty").mkdir()
    with pytest.raises(ValueError, match="expected manifest.json or <genre>"):
        train_classifier.main(flags(store / "empty"))
    frame = toy_clips.rows(12, seconds=0.6)
    with pytest.raises(ValueError, match="expected two genres or more with 50 training clips"):
        train_classifier.main(flags(toy_clips.folder(store / "audio", frame), min_clips=50))


def test_a_broken_clip_of_a_folder_of_shards_is_left_out_and_counted(store):
    frame = toy_clips.rows(40, seconds=0.6)
    torn = frame["audio"][5]["bytes"][:200]
    frame["audio"] = [{"bytes": torn, "path": "a"} if row == 5 else own for row, own in enumerate(frame["audio"])]
    train_classifier.main(flags(toy_clips.folder(store / "audio", frame), epochs=2, min_clips=2))
    run_id = tracking.latest("train_classifier")
    assert tracking.metrics(run_id)["data/unreadable"] == 1
    assert frame["id"][5] in tracking.fetch(f"runs:/{run_id}/unreadable.json").read_text()
