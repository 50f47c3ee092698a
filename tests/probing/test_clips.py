from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from conceptcaps.errors import InputError
from conceptcaps.probing import clips
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import shards
from tests import toy_clips

TAXONOMY = Taxonomy.load()
FOLDER = Path()


def test_genres_of_a_clip_are_those_that_no_other_implies():
    assert clips.genres_of(["electronic", "techno", "piano"], taxonomy=TAXONOMY) == ["techno"]
    assert clips.genres_of(["jazz", "pop"], taxonomy=TAXONOMY) == ["pop", "jazz"]  # the taxonomy's order
    assert clips.genres_of(["piano"], taxonomy=TAXONOMY) == clips.genres_of([], taxonomy=TAXONOMY) == []
    assert clips.genres_of(["hiphop"], taxonomy=TAXONOMY) == ["hiphop"]  # a folder of GTZAN


def test_a_class_is_the_one_genre_that_was_asked_for_and_sounds():
    present = [["metal", "rock", "disco"], ["metal", "rock", "disco"], ["pop", "jazz"], ["rock"], ["pop"]] * 6
    asked = [["metal"], ["disco", "piano"], ["pop", "jazz"], ["jazz"], ["pop", "jazz"]] * 6
    columns = {"id": [str(row) for row in range(30)], "present": present, "asked": asked, "group": range(30)}
    splits = (["train"] * 5 + ["validation"] * 5 + ["test"] * 5) * 2
    found = clips.label(
        as_clips(pd.DataFrame({**columns, "split": splits})), taxonomy=TAXONOMY, min_clips=2, seed=0, genres=[]
    )
    assert found.classes == ["disco", "metal", "pop"]
    assert found.clips.rows["class"].tolist() == ["metal", "disco", "pop"] * 6
    counts = {name: found.counts[f"data/{name}"] for name in ("several_genres", "without_genre", "rare_genre")}
    assert counts == {"several_genres": 6, "without_genre": 6, "rare_genre": 0}


def test_of_clips_made_for_some_genres_no_other_genre_is_a_class():
    asked = [["metal", "ballad"], ["jazz", "ballad"], ["pop", "metal"]]
    present = [["metal", "rock", "ballad"], ["ballad"], ["metal", "rock"]]  # the jazz and the pop do not
    columns = {"id": [*map(str, range(36))], "present": present * 12, "asked": asked * 12, "group": range(36)}
    columns["split"] = (["train"] * 6 + ["validation"] * 3 + ["test"] * 3) * 3
    frame = as_clips(pd.DataFrame(columns))
    found = clips.label(frame, taxonomy=TAXONOMY, min_clips=2, seed=0, genres=["ballad", "Metal"])
    assert found.clips.rows["class"].value_counts().to_dict() == {"ballad": 12, "metal": 12}
    with pytest.raises(InputError, match="two genres"):
        clips.label(frame, taxonomy=TAXONOMY, min_clips=2, seed=0, genres=["jazz", "pop"])
    with pytest.raises(InputError, match="jaz"):
        clips.label(frame, taxonomy=TAXONOMY, min_clips=2, seed=0, genres=["jaz"])


def test_rare_genres_join_their_parents_or_are_left_out():
    genres = ["techno"] * 3 + ["house"] * 2 + ["dance music"] + ["pop"] * 6 + ["ska"] * 2 + [None]
    classes = clips.merge_rare(genres, taxonomy=TAXONOMY, min_clips=6)
    assert classes == ["dance music", "pop"]
    of = {genre: clips.class_of(genre, classes=classes, taxonomy=TAXONOMY) for genre in set(genres)}
    assert of == {
        **dict.fromkeys(["techno", "house", "dance music"], "dance music"),
        "pop": "pop",
        **dict.fromkeys(["ska", None]),
    }
    assert clips.merge_rare(genres, taxonomy=TAXONOMY, min_clips=3) == ["dance music", "pop", "techno"]
    with pytest.raises(
        ValueError, match="expected two genres or more with 7 training clips each, got pop .6., electronic"
    ):
        clips.merge_rare(genres, taxonomy=TAXONOMY, min_clips=7)


def table(count=2000):
    numbers = range(count)
    columns = {
        "id": [str(number) for number in numbers],
        "present": [[("pop", "jazz", "ska")[number % 20 % 3 if number % 20 < 18 else 2]] for number in numbers],
        "group": [tag_set_id([f"tag set {number // 2}"]) for number in numbers],
    }
    return pd.DataFrame(columns).assign(asked=columns["present"])


def as_clips(frame, folder=FOLDER):
    return clips.Clips(folder, frame, {})


def test_no_group_stands_in_two_splits_and_every_genre_has_its_share():
    found = clips.label(as_clips(table()), taxonomy=TAXONOMY, min_clips=5, seed=0, genres=[]).clips.rows
    assert (found.groupby("group")["split"].nunique() == 1).all()
    for _, part in found.groupby("genre"):  # rare genres too, which a split by hash would miss
        shares = part["split"].value_counts(normalize=True)
        assert [shares[name] for name in clips.SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    other = clips.label(as_clips(table()), taxonomy=TAXONOMY, min_clips=5, seed=1, genres=[]).clips.rows
    assert (other["split"] != found["split"]).any()


def test_a_split_that_the_clips_carry_is_kept():
    frame = table(60).assign(split=["train", "validation", "test"] * 20)
    found = clips.label(as_clips(frame), taxonomy=TAXONOMY, min_clips=2, seed=0, genres=[]).clips.rows
    assert found["split"].tolist() == ["train", "validation", "test"] * 20


def test_what_sounds_is_the_score_s_word_or_else_what_was_realised_or_added(tmp_path):
    frame = toy_clips.rows(12, seconds=0.1)
    frame.at[0, "unrealised"] = [frame["tags"][0][0]]
    frame.at[1, "added"] = ["drums"]
    read = clips.read(toy_clips.folder(tmp_path / "audio", frame))
    assert not read.unreadable and list(read.rows["id"]) == list(frame["id"])
    assert read.rows["present"][0] == frame["tags"][0][1:]
    assert "drums" in read.rows["present"][1] and read.rows["present"][2] == frame["tags"][2]
    assert list(read) == [clip["bytes"] for clip in frame["audio"]]

    frame["present"], frame["absent"], frame["split"] = [["piano"]] * 12, [["flute"]] * 12, "test"
    frame["error"] = pd.Series([None, "expected notes, got none", *[None] * 10], dtype=object)
    schema = toy_clips.SCHEMA
    for name, kind in (("present", pa.list_(pa.string())), ("absent", pa.list_(pa.string()))):
        schema = schema.append(pa.field(name, kind))
    for name in ("split", "error"):
        schema = schema.append(pa.field(name, pa.string()))
    shards.map_shards(
        lambda part: part,
        frame,
        out=str(tmp_path / "true"),
        schema=schema,
        shard_size=4,
        settings={},
        description="toy",
    )
    read = clips.read(tmp_path / "true")
    assert read.rows["asked"][0] == frame["tags"][0][1:]
    assert read.rows["present"].tolist() == [["piano"]] * 11 and read.rows["absent"].tolist() == [["flute"]] * 11
    assert read.rows["split"].tolist() == ["test"] * 11
    assert read.unreadable == {frame["id"][1]: "expected notes, got none"}
    assert list(read.only(read.rows["id"] == frame["id"][3])) == [frame["audio"][3]["bytes"]]


def test_a_clip_of_which_nothing_is_known_is_taken_at_its_word(tmp_path):
    frame = toy_clips.rows(4, seconds=0.1)
    frame["tags"] = [["jazz", "piano"]] * 4
    frame["unrealised"] = [[], ["piano"], ["jazz", "piano"], []]
    frame["present"] = [[], [], [], ["jazz", "rock"]]
    frame["absent"] = [[], [], ["flute"], []]  # of the third it is known that nothing asked for sounds
    schema = toy_clips.SCHEMA
    for name in ("present", "absent"):
        schema = schema.append(pa.field(name, pa.list_(pa.string())))
    settings = {"schema": schema, "shard_size": 4, "settings": {}, "description": "toy"}
    shards.map_shards(lambda part: part, frame, out=str(tmp_path / "audio"), **settings)
    rows = clips.read(tmp_path / "audio").rows
    assert rows["present"].tolist() == [["jazz", "piano"], ["jazz"], [], ["jazz", "rock"]]
    assert rows["asked"].tolist() == [["jazz", "piano"], ["jazz"], [], ["jazz", "piano"]]


def genres(folder):
    for at, genre in enumerate(("blues", "hiphop")):
        (folder / genre).mkdir()
        for number, ending in enumerate(("au", "wav", "ogg", "mp3")):
            sound = toy_clips.waveform([genre], seed=number + 10 * at, seconds=0.5)
            soundfile.write(folder / genre / f"{genre}.0000{number}.{ending}", sound, 22_050)
    return folder


def test_a_folder_of_genres_lists_what_it_cannot_read(tmp_path):
    genres(tmp_path)
    (tmp_path / "blues" / "blues.00054.wav").write_bytes(b"broken")
    soundfile.write(tmp_path / "blues" / "blues.00055.wav", np.zeros(1000), 22_050)
    content = (tmp_path / "blues" / "blues.00001.wav").read_bytes()
    (tmp_path / "hiphop" / "hiphop.00009.wav").write_bytes(content)  # GTZAN has some files twice
    read = clips.read(tmp_path)
    assert set(read.unreadable) == {"blues/blues.00054.wav", "blues/blues.00055.wav"}
    assert "expected an audio file" in read.unreadable["blues/blues.00054.wav"]
    assert read.unreadable["blues/blues.00055.wav"] == "expected sound, got silence"
    assert [tags[0] for tags in read.rows["present"]] == ["blues"] * 4 + ["hiphop"] * 5
    assert read.rows["group"].nunique() == len(read) - 1
    assert list(read)[1] == content
    with pytest.raises(ValueError, match="expected manifest.json or <genre>"):
        clips.read(tmp_path / "blues")


def test_split_files_say_which_files_are_used_and_where(tmp_path):
    genres(tmp_path)
    names = ["blues/blues.00000.au", "hiphop/hiphop.00001.wav", "hiphop/hiphop.00003.mp3"]
    lists = tmp_path / "lists"
    lists.mkdir()
    for name, file in zip(names, ("train_filtered.txt", "valid_filtered.txt", "test_filtered.txt"), strict=True):
        (lists / file).write_text(name + "\n")
    pd.DataFrame({"file": names, "split": clips.SPLITS}).to_csv(tmp_path / "split.csv", index=False)
    for path in (lists, tmp_path / "split.csv"):
        read = clips.read(tmp_path, split_file=path)
        assert dict(zip(read.rows["id"], read.rows["split"], strict=True)) == dict(
            zip(names, clips.SPLITS, strict=True)
        )
    pd.DataFrame({"file": names, "split": "all"}).to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(ValueError, match="expected columns file and split .* with all"):
        clips.read(tmp_path, split_file=tmp_path / "split.csv")
