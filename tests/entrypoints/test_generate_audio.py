"""The stage that makes clips, end to end: what it logs, what it refuses, and that a kill changes nothing."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from moto.server import ThreadedMotoServer

from conceptcaps import tracking
from conceptcaps.audio import table
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import assets, shards
from conceptcaps.workspace.project import LOCK
from entrypoints import generate_audio

ROOT = Path(__file__).resolve().parents[2]
TAGS = [
    ["jazz", "piano", "calm"],
    ["rock", "electric guitar", "fast tempo"],
    ["techno", "four-on-the-floor", "dark"],
    ["classical", "strings", "slow tempo"],
    ["folk", "acoustic guitar", "rap vocals"],
    ["ambient", "synth pad", "no percussion"],
    ["latin music", "trumpet", "happy"],
    ["celtic", "flute", "waltz time"],
]
TAXONOMY = Taxonomy.load()
COLUMNS = [name for name, _ in table.FIELDS]


@pytest.fixture(scope="module", autouse=True)
def soundfont() -> Path:
    return assets.fetch("soundfont")


def write_captions(folder: Path, tag_sets: list[list[str]]) -> Path:
    captions = [f"A clip with {', '.join(tags)}." for tags in tag_sets]
    ids = [tag_set_id(tags, seed=0, caption=caption) for tags, caption in zip(tag_sets, captions, strict=True)]
    rows = pd.DataFrame({"id": ids, "tags": tag_sets, "caption": captions, "split": "train"})
    schema = pa.schema([(name, kind) for name, kind in table.FIELDS if name in rows])
    shards.map_shards(
        lambda part: part, rows, out=str(folder), schema=schema, shard_size=4, settings={}, description="captions"
    )
    return folder


def flags(captions: Path, out: Path | str, **changes: object) -> list[str]:
    values = {
        "captions": captions, "backend": "soundfont", "model": "none", "guidance": 3.0,
        "temperature": 1.0, "top_k": 250, "duration": 2.0, "batch_size": 4, "shard_size": 3,
        "workers": 1, "out": out, "seed": 0,
    }  # fmt: skip
    return [f"--{name}={value}" for name, value in {**values, **changes}.items()]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_every_caption_gets_a_clip_and_the_run_shows_them(store):
    captions = write_captions(store / "captions", TAGS)
    generate_audio.main(flags(captions, store / "audio"))
    made = shards.read(str(store / "audio"))
    assert list(made.columns) == COLUMNS and len(made) == 8 and made["id"].is_unique
    assert made["tags"].tolist() == TAGS
    for row in made.to_dict("records"):
        sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), always_2d=True)
        assert row["audio"]["path"] == f"{row['id']}.flac" and rate == row["sample_rate"]
        assert len(sound) == 2 * rate and row["duration"] == 2.0
        assert set(row["unrealised"]) <= set(row["tags"]) and not set(row["added"]) & set(row["tags"])
    assert made["unrealised"].tolist()[4] == ["rap vocals"]

    run = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    assert run.info.run_name == "generate_audio" and run.info.status == "FINISHED"
    assert run.data.metrics["audio/clips"] == 8
    assert run.data.metrics["audio/hours"] == pytest.approx(8 * 2 / 3600)
    assert run.data.metrics["audio/unrealised"] == sum(map(len, made["unrealised"])) / sum(map(len, TAGS))
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"captions", "audio"}
    logged = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert logged == {"audio", "examples", "figures"}
    local = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/audio")
    pd.testing.assert_frame_equal(shards.read(local), made)
    examples = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/examples"))
    assert {path.stem for path in examples.glob("*.flac")} == set(made["id"][:3]), "of the first shard"


def test_examples_are_shown_where_the_first_rows_failed(store):
    bad = [["slow tempo", "fast tempo", tag] for tag in ("piano", "flute", "violin", "harp", "organ")]
    good = [[genre, tag] for genre in ("rock", "jazz", "folk", "blues", "pop") for tag in TAXONOMY.tags[60:69]]
    captions = write_captions(store / "captions", bad + good)
    generate_audio.main(flags(captions, store / "audio", duration=0.5, shard_size=8))
    made = shards.read(str(store / "audio"))
    assert made["error"].notna().tolist() == [True] * 5 + [False] * 45
    run = mlflow.search_runs(search_all_experiments=True, output_format="list")[0].info.run_id
    assert [file.path for file in mlflow.MlflowClient().list_artifacts(run, "figures")] == ["figures/spectra.png"]
    examples = Path(mlflow.artifacts.download_artifacts(f"runs:/{run}/examples"))
    assert {path.stem for path in examples.glob("*.flac")} == set(made["id"][5:8]), "of the first shard"


def test_clips_do_not_depend_on_shards_or_on_the_clips_beside_them(store):
    captions = write_captions(store / "captions", TAGS)
    few = write_captions(store / "few", TAGS[5:2:-1])
    generate_audio.main(flags(captions, store / "audio"))
    generate_audio.main(flags(few, store / "others", shard_size=1))
    whole = shards.read(str(store / "audio")).set_index("id")
    part = shards.read(str(store / "others")).set_index("id")
    assert len(part) == 3
    pd.testing.assert_frame_equal(part, whole.loc[part.index])


def test_another_seed_makes_other_clips(store):
    captions = write_captions(store / "captions", TAGS[:2])
    generate_audio.main(flags(captions, store / "a"))
    generate_audio.main(flags(captions, store / "b", seed=1))
    first, second = (shards.read(str(store / name))["audio"] for name in "ab")
    assert all(one["bytes"] != other["bytes"] for one, other in zip(first, second, strict=True))


def test_a_finished_folder_is_not_made_again_and_a_truncated_shard_is_noticed(store):
    captions = write_captions(store / "captions", TAGS)
    generate_audio.main(flags(captions, store / "audio"))
    before = {path.name: path.stat().st_mtime_ns for path in (store / "audio").glob("part-*")}
    generate_audio.main(flags(captions, store / "audio"))
    assert {path.name: path.stat().st_mtime_ns for path in (store / "audio").glob("part-*")} == before

    shard = store / "audio" / "part-00001.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated or changed"):
        shards.read(str(store / "audio"))
    generate_audio.main(flags(captions, store / "audio"))
    assert shard.read_bytes() == whole


def test_other_parameters_do_not_mix_with_what_is_in_the_folder(store):
    captions = write_captions(store / "captions", TAGS[:3])
    generate_audio.main(flags(captions, store / "audio"))
    with pytest.raises(ValueError, match="name another folder"):
        generate_audio.main(flags(captions, store / "audio", duration=3.0))


def test_other_captions_or_another_soundfont_make_new_shards(store, monkeypatch):
    """Under the same names: stale audio must not come back as finished."""
    monkeypatch.chdir(store)
    captions, font = write_captions(store / "captions", TAGS[:2]), store / "font.sf2"
    font.write_bytes(assets.fetch("soundfont").read_bytes())

    def folders() -> int:
        generate_audio.main(flags(captions, "auto", soundfont=font))
        return len(list((store / "outputs" / "generate_audio").iterdir()))

    assert folders() == folders() == 1
    with font.open("ab") as file:
        file.write(b"more")
    assert folders() == 2
    frame = shards.read(str(captions)).assign(caption="Another.")
    for path in captions.iterdir():
        path.unlink()
    schema = pa.schema([(name, pa.list_(pa.string()) if name == "tags" else pa.string()) for name in frame.columns])
    shards.map_shards(
        lambda part: part, frame, out=str(captions), schema=schema, shard_size=4, settings={}, description="captions"
    )
    assert folders() == 3


def test_two_ranges_and_a_merge_are_a_run_in_one_go(store):
    captions = write_captions(store / "captions", TAGS)
    generate_audio.main(flags(captions, store / "parts", shard_range="1:3"))
    assert not (store / "parts" / "manifest.json").exists()
    generate_audio.main(flags(captions, store / "parts", shard_range="0:1"))
    generate_audio.main(flags(captions, store / "whole"))
    assert hashes(store / "parts") == hashes(store / "whole")


@pytest.mark.slow
def test_actors_of_ray_make_the_same_shards(store):
    captions = write_captions(store / "captions", TAGS)
    generate_audio.main(flags(captions, store / "ray", executor="ray", workers=2))
    generate_audio.main(flags(captions, store / "here"))
    assert hashes(store / "ray") == hashes(store / "here")


def test_a_run_may_name_its_shards_in_place_of_holding_them(store):
    captions = write_captions(store / "captions", TAGS[:4])
    generate_audio.main(flags(captions, store / "audio", upload=0))
    run = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    held = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "audio")}
    assert held == {f"audio/{name}" for name in ("manifest.json", "plan.json", "taxonomy.yaml", "url.txt")}
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"captions", "audio"}
    assert tracking.fetch(f"runs:/{run.info.run_id}/audio") == store / "audio"

    generate_audio.main(flags(captions, store / "other", seed=1))
    for path in (store / "other").iterdir():
        path.rename(store / "audio" / path.name)
    with pytest.raises(ValueError, match="that the run made, got others"):
        tracking.fetch(f"runs:/{run.info.run_id}/audio")


def test_shards_on_s3_have_the_same_bytes_and_are_read_from_there(store, monkeypatch):
    captions = write_captions(store / "captions", TAGS[:4])
    generate_audio.main(flags(captions, store / "here"))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        shards.fsspec.filesystem("s3", skip_instance_cache=False).mkdir("clips")
        for upload in (1, 0):
            generate_audio.main(flags(captions, "s3://clips/audio", upload=upload))
            assert hashes(tracking.fetch(f"runs:/{tracking.latest('generate_audio')}/audio")) == hashes(store / "here")
    finally:
        server.stop()


def test_rows_draw_from_several_soundfonts_by_their_ids(store):
    captions, font = write_captions(store / "captions", TAGS[:4]), store / "font.sf2"
    font.write_bytes(assets.fetch("soundfont").read_bytes())
    generate_audio.main(flags(captions, store / "audio", soundfont=f"embedded,{font}"))
    generate_audio.main(flags(captions, store / "again", soundfont="embedded"))
    drawn, plain = (shards.read(str(store / name)) for name in ("audio", "again"))
    assert set(drawn["soundfont"]) == {"font.sf2", "TimGM6mb.sf2"}
    same = [name for name in drawn.columns if name != "soundfont"]
    pd.testing.assert_frame_equal(drawn[same], plain[same], obj="both hold the same bank")
    with pytest.raises(ValueError, match="nowhere"):
        generate_audio.main(flags(captions, store / "other", soundfont="/nowhere.sf2"))


def test_missing_or_unfinished_captions_are_refused(store):
    with pytest.raises(ValueError, match="expected a local path"):
        generate_audio.main(flags(store / "nowhere", store / "audio"))
    captions = write_captions(store / "captions", TAGS[:3])
    (captions / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"manifest\.json"):
        generate_audio.main(flags(captions, store / "audio"))
    assert not (store / "audio").exists()
    assert {run.info.status for run in mlflow.search_runs(output_format="list")} == {"FAILED"}


@pytest.mark.parametrize("backend", ["musicgen", "audiocraft"])
def test_samples_without_captions_are_refused_before_a_model_is_loaded(store, backend):
    (store / "samples").mkdir()
    pd.DataFrame({"id": ["a"], "tags": [["piano"]], "split": "train"}).to_parquet(store / "samples/samples.parquet")
    with pytest.raises(ValueError, match="expected captions of write_captions, got samples without words"):
        generate_audio.main(flags(store / "samples", store / "audio", backend=backend, model="nowhere"))
    generate_audio.main(flags(store / "samples", store / "audio"))


def test_captions_without_a_melody_to_follow_are_refused_before_a_model_is_loaded(store):
    captions = write_captions(store / "captions", TAGS[:3])
    (store / "tunes").mkdir()
    (store / "tunes" / "another.wav").write_bytes(b"")
    melody = {"melody": store / "tunes", "model": "nowhere"}
    with pytest.raises(ValueError, match=r"expected at most 10% of 3 rows to fail, got 3: .* \(no clip in "):
        generate_audio.main(flags(captions, store / "audio", backend="musicgen", **melody))
    for row_id in pd.read_parquet(captions / "part-00000.parquet")["id"]:
        (store / "tunes" / f"{row_id}.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="expected backend=musicgen to follow a melody, got soundfont"):
        generate_audio.main(flags(captions, store / "audio", **melody))


def test_no_captions_are_refused(store):
    captions = write_captions(store / "captions", TAGS[:1])
    empty = pa.schema(table.FIELDS[:4]).empty_table()
    data = io.BytesIO()
    pq.write_table(empty, data)
    (captions / "part-00000.parquet").write_bytes(data.getvalue())
    manifest = json.loads((captions / "manifest.json").read_text())
    manifest["shards"][0] |= {"rows": 0, "sha256": hashlib.sha256(data.getvalue()).hexdigest()}
    (captions / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="at least one row"):
        generate_audio.main(flags(captions, store / "audio"))


@pytest.mark.parametrize("change", [{"backend": "kazoo"}, {"channels": 3}])
def test_unknown_choices_are_refused(store, change):
    with pytest.raises(SystemExit):
        generate_audio.main(flags(store / "captions", store / "audio", **change))


@pytest.mark.slow
def test_a_killed_run_goes_on_after_a_comment_in_the_report_and_an_edit_of_the_sampler_starts_anew(store):
    captions = write_captions(store / "captions", TAGS)
    changes = {"shard_size": 1, "duration": 8.0}
    project, outputs = store / "project", store / "project" / "outputs" / "generate_audio"
    for name in ("conceptcaps", "entrypoints"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", LOCK):
        shutil.copy(ROOT / name, project)

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "entrypoints.generate_audio", *flags(captions, "auto", **changes)]
        return subprocess.Popen(
            command, cwd=project, env={**os.environ, "PYTHONPATH": str(project)}, stderr=subprocess.DEVNULL
        )

    def comment(file: str) -> None:
        with (project / "conceptcaps" / file).open("a") as code:
            code.write("# a comment\n")

    run = start()
    deadline = time.monotonic() + 120
    while not (left := sorted(outputs.glob("*/part-00001.parquet"))) and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    (killed,) = (path.parent for path in left)
    assert not (killed / "manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("part-*.parquet")}

    comment("publishing/report.py")
    assert start().wait() == 0
    assert [*outputs.iterdir()] == [killed]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    generate_audio.main(flags(captions, store / "at_once", **changes))
    ours, theirs = hashes(killed), hashes(store / "at_once")
    assert {name: ours[name] for name in theirs} == theirs

    comment("audio/sf2.py")
    assert start().wait() == 0
    assert len([*outputs.iterdir()]) == 2


def test_a_full_disk_fails_the_run_in_one_line_and_it_goes_on_to_the_same_bytes(store, monkeypatch, capsys):
    captions = write_captions(store / "captions", TAGS)
    disk = shards.fsspec.implementations.local.LocalFileSystem
    whole_open = disk._open

    def open_full(self, path, mode="rb", **kwargs):
        return whole_open(self, "/dev/full" if path.endswith("part-00001.parquet.tmp") else path, mode, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "_open", open_full)
        with pytest.raises(SystemExit):
            tracking.execute(lambda: generate_audio.main(flags(captions, store / "audio")))
    error, where = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: [Errno 28] No space left on device" and "traceback.txt" in where
    assert {run.info.status for run in mlflow.search_runs(output_format="list")} == {"FAILED"}
    assert set(hashes(store / "audio")) == {"plan.json", "part-00000.parquet"}

    generate_audio.main(flags(captions, store / "audio"))
    generate_audio.main(flags(captions, store / "at_once"))
    assert hashes(store / "audio") == hashes(store / "at_once")
