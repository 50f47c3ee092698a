"""MIDI files read back by another library than the one that writes them."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import symusic

from conceptcaps.audio import composition, midi
from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def read(data: bytes) -> symusic.Score:
    return symusic.Score.from_midi(data)


def test_notes_come_back_with_program_pitch_velocity_and_time():
    notes = [Note(0.0, 1.0, 60, 90), Note(1.5, 0.5, 64, 70), Note(2.0, 4.0, 67, 100)]
    parts = [Part("violin", 40, False, notes), Part("kick drum", 25, True, [Note(0, 0.2, 36, 110)])]
    piece = Piece(parts, [(0, 120)], 3)
    score = read(midi.write(piece, duration=10))
    violin, drums = score.tracks
    assert (violin.program, violin.is_drum, violin.name) == (40, False, "violin") and drums.is_drum
    found = [(note.time / score.tpq, note.duration / score.tpq, note.pitch, note.velocity) for note in violin.notes]
    assert found == [tuple(note)[:4] for note in notes]
    assert drums.program == 25 and [note.pitch for note in drums.notes] == [36]
    assert score.tempos[0].qpm == pytest.approx(120) and score.time_signatures[0].numerator == 3


def test_only_what_sounds_within_the_clip_is_written():
    piece = Piece([Part("flute", 73, False, [Note(0, 9, 70, 80), Note(4, 1, 72, 80)])], [(0, 60)], 4)
    score = read(midi.write(piece, duration=3))
    assert [(note.time, note.duration) for note in score.tracks[0].notes] == [(0, 3 * score.tpq)]


def test_tempo_changes_put_notes_at_the_score_s_seconds():
    notes = [Note(beat, 1, 60, 80) for beat in range(8)]
    piece = Piece([Part("piano", 0, False, notes)], [(0, 60), (2, 90), (5, 180)], 4)
    score = read(midi.write(piece, duration=60)).to("Second")
    np.testing.assert_allclose([note.time for note in score.tracks[0].notes], piece.seconds(np.arange(8)), atol=1e-4)


def test_a_struck_pitch_that_still_sounds_is_ended_first_and_two_kits_keep_their_notes():
    piano = Part("piano", 0, False, [Note(0, 4, 60, 80), Note(1, 4, 60, 80)])
    kits = [Part("drums", 0, True, [Note(0, 0.2, 36, 80)]), Part("claps", 25, True, [Note(0.5, 0.2, 39, 80)])]
    score = read(midi.write(Piece([piano, *kits], [(0, 60)], 4), duration=8))
    found = [(note.time, note.duration) for note in score.tracks[0].notes]
    assert found == [(0, score.tpq), (score.tpq, 4 * score.tpq)]
    struck = {(track.program, note.pitch) for track in score.tracks if track.is_drum for note in track.notes}
    assert struck == {(0, 36), (25, 39)}


def test_slides_are_bends_that_end_at_the_written_pitch():
    piece = Piece([Part("slide guitar", 25, False, [Note(0, 2, 60, 80, -2.0)])], [(0, 60)], 4)
    bends = read(midi.write(piece, duration=4)).tracks[0].pitch_bends
    assert bends[0].value == pytest.approx(-2 / 12 * 8191, abs=1) and bends[-1].value == 0
    assert bends[-1].time == pytest.approx(0.18 * 480, abs=1)


@pytest.mark.parametrize("tags", [["rock"], ["orchestra", "epic"], ["tempo changes", "piano"], ["salsa"]])
def test_a_composed_piece_comes_back_whole(tags):
    piece = composition.compose(tags, duration=8, seed=1, taxonomy=TAXONOMY)
    score = read(midi.write(piece, duration=8))
    last = float(piece.beats(8.0))
    written = {
        (part.program, part.percussion, note.pitch, round(note.start * midi.TICKS))
        for part in piece.parts for note in part.notes if round(note.start * midi.TICKS) < round(last * midi.TICKS)
    }  # fmt: skip
    found = {(track.program, track.is_drum, note.pitch, note.time) for track in score.tracks for note in track.notes}
    assert found == written


def test_same_bytes_in_another_process():
    script = """
import hashlib
from conceptcaps.audio import composition, midi
from conceptcaps.tags.taxonomy import Taxonomy
piece = composition.compose(["jazz", "piano"], duration=6, seed=3, taxonomy=Taxonomy.load())
print(hashlib.sha256(midi.write(piece, duration=6)).hexdigest())"""
    piece = composition.compose(["jazz", "piano"], duration=6, seed=3, taxonomy=TAXONOMY)
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == hashlib.sha256(midi.write(piece, duration=6)).hexdigest()
