"""Twenty-four clips of which six are broken in six ways: eighteen are heard, six keep their place with a reason."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from conceptcaps.audio import clips, waveform
from conceptcaps.audio.clips import Clips
from conceptcaps.workspace import shards

RATE = 16_000


def encoded(sound, kind="FLAC", subtype=None) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, sound, RATE, format=kind, subtype=subtype)
    return target.getvalue()


def tone(seconds=1.0) -> np.ndarray:
    return 0.3 * np.sin(np.arange(int(seconds * RATE)) * 0.2)


BROKEN = {
    "missing": (None, "no audio"),
    "empty": (b"", "no audio"),
    "truncated": (encoded(tone())[:40], "unreadable"),
    "silent": (encoded(np.zeros(RATE)), "silent"),
    "not numbers": (encoded(np.full(RATE, np.nan), "WAV", "FLOAT"), "not all samples are numbers"),
    "short": (encoded(tone(0.1)), "shorter than 0.5 s: 0.10 s"),
}


def folder_of(path, contents: dict) -> str:
    """A folder of shards of clips."""
    rows = pd.DataFrame({"id": list(contents)})
    schema = pa.schema([("id", pa.string()), ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])

    def make(part):
        audio = [{"bytes": contents[name], "path": name} for name in part["id"]]
        return pd.DataFrame({"id": part["id"], "audio": audio})

    shards.map_shards(make, rows, out=str(path), schema=schema, shard_size=5, settings={}, description="clips")
    return path


def mixed(good: int) -> dict:
    contents = {f"good {number}": encoded(tone(1 + number / 100)) for number in range(good)}
    contents |= {name: content for name, (content, _) in BROKEN.items()}
    return dict(sorted(contents.items(), key=lambda item: item[0][::-1]))  # the broken ones stand among the good ones


def test_each_broken_clip_has_its_reason_and_nothing_shifts(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MOST_BAD", 0.25)
    contents = mixed(18)
    found = Clips.open(folder_of(tmp_path / "shards", contents))
    good, bad = found.readable()
    assert len(found) == 24 and len(good) == 18
    assert {name: reason.startswith(BROKEN[name][1]) for name, reason in bad.items()} == dict.fromkeys(BROKEN, True)
    assert list(good) == [contents[name] for name in good.ids] and list(good) == list(good)


def test_over_a_tenth_fails(tmp_path):
    with pytest.raises(ValueError, match=r"at most 10% of 24 rows to fail, got 6: .* first"):
        Clips.open(folder_of(tmp_path / "shards", mixed(18))).readable()
    good, bad = Clips.open(folder_of(tmp_path / "more", mixed(60))).readable()
    assert (len(good), len(bad)) == (60, 6)


@pytest.mark.parametrize(("kind", "ending"), [("WAV", "wav"), ("FLAC", "flac"), ("OGG", "ogg"), ("MP3", "mp3")])
def test_folders_of_recordings_open(tmp_path, kind, ending):
    (tmp_path / "rock").mkdir()
    (tmp_path / "rock" / f"b.{ending}").write_bytes(encoded(tone(), kind))
    (tmp_path / f"a.{ending.upper()}").write_bytes(encoded(tone(2), kind))
    (tmp_path / "notes.txt").write_text("no clip")
    good, bad = Clips.open(tmp_path).readable()
    assert good.ids == (f"a.{ending.upper()}", f"rock/b.{ending}") and not bad
    assert len(list(good)) == 2


@pytest.mark.parametrize("rate", [11_025, 16_000, 22_050, 44_100])
def test_a_clip_of_the_shortest_length_is_heard_at_every_rate(rate):
    sound = 0.1 * np.ones((1, round(0.5 * rate)), dtype=np.float32)
    assert clips.fault(waveform.encode_flac(sound, rate)) == ""
    assert clips.fault(waveform.encode_flac(sound[:, :-1], rate)).startswith("shorter than 0.5 s")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected manifest.json or recordings .* got neither"):
        Clips.open(tmp_path)


def test_the_file_of_each_clip_is_found_in_shards_and_among_recordings(tmp_path):
    folder = folder_of(tmp_path / "shards", contents := mixed(18))
    found = clips.files(folder, ["good 11", "missing", "good 3"])
    assert list(found) == ["good 11", "missing", "good 3"] and all(path.parent == folder for path in found.values())
    assert set(clips.files(folder, list(contents)).values()) == set(folder.glob("*.parquet"))
    with pytest.raises(ValueError, match=r"at most 10% of 3 rows to fail, got 1: 'nobody' \(no clip in"):
        clips.files(folder, ["good 11", "nobody", "good 3"])
    songs = tmp_path / "songs"
    (songs / "rock").mkdir(parents=True)
    for name in ("one.wav", "two.wav", "rock/one.mp3"):
        (songs / name).write_bytes(b"")
    assert clips.files(songs, ["two", "rock/one"]) == {"two": songs / "two.wav", "rock/one": songs / "rock/one.mp3"}
    (songs / "two.flac").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected one recording of each name in .*, got two.flac, two.wav"):
        clips.files(songs, ["one"])


def test_some_clips_are_drawn_by_seed_and_keep_their_order(tmp_path):
    whole = Clips(tmp_path, tuple(f"{number:02}" for number in range(50)))
    drawn = whole.some(20, seed=0)
    assert len(drawn) == 20 and list(drawn.ids) == sorted(set(drawn.ids)) and drawn.folder == tmp_path
    assert whole.some(20, seed=0) == drawn != whole.some(20, seed=1)
    assert whole.some(90, seed=0) == whole
