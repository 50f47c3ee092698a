"""Excerpts of recordings for ``make real``: from the middle, from archives too, none of what is too short."""

import io
import zipfile

import numpy as np
import soundfile

from tools import real

RATE = 8_000


def ogg(seconds: float) -> bytes:
    """A tone whose amplitude grows with time."""
    time = np.arange(int(seconds * RATE)) / RATE
    target = io.BytesIO()
    soundfile.write(target, 0.01 * time * np.sin(2 * np.pi * 200 * time), RATE, format="OGG")
    return target.getvalue()


def test_pieces_are_found_in_folders_and_archives(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.ogg").write_bytes(b"1")
    (tmp_path / "a" / "notes.txt").write_bytes(b"no music")
    with zipfile.ZipFile(tmp_path / "a" / "music.pk3", "w") as archive:
        archive.writestr("sound/two.ogg", b"2")
        archive.writestr("sound/cover.png", b"no music")
    assert list(real.pieces(tmp_path)) == [("one", b"1"), ("two", b"2")]


def test_the_middle_of_a_piece_is_kept_and_short_ones_are_not(tmp_path):
    assert real.excerpt(ogg(50), tmp_path / "long.flac")
    sound, rate = soundfile.read(tmp_path / "long.flac")
    assert rate == RATE and len(sound) == real.SECONDS * RATE
    loudness = [np.abs(part).max() for part in (sound[:RATE], sound[-RATE:])]
    np.testing.assert_allclose(loudness, [0.11, 0.40], atol=0.02)  # 10 s and 40 s into the piece
    assert not real.excerpt(ogg(29), tmp_path / "short.flac") and not (tmp_path / "short.flac").exists()


def test_each_kind_has_its_tags():
    assert {kind for _, kind in real.PACKAGES.values()} == set(real.TOLD)
