"""A rhythm is taken out by moving or leaving out its strokes; what else was there is there still."""

import pytest

from conceptcaps.audio import pairs, rewriting
from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def piece(*notes: tuple[float, float, int], drum: bool = False) -> Piece:
    return Piece([Part("", 0, drum, [Note(*note, 80) for note in notes])], [(0.0, 100.0)], 4)


def played(found: Piece) -> list[tuple[float, float, int]]:
    return [(note.start, note.length, note.pitch) for part in found.parts for note in part.notes]


def test_anticipations_come_on_the_beat_and_end_where_they_did():
    early = piece((0, 0.5, 60), (0.75, 1.0, 62), (2.25, 0.25, 64), (2.5, 0.5, 65), (3, 1, 67))
    straight = rewriting.without("syncopated", early)
    assert played(straight) == [(0, 0.5, 60), (1, 0.75, 62), (2.25, 0.25, 64), (2.5, 0.5, 65), (3, 1, 67)]
    assert played(rewriting.without("groovy", early)) == played(straight)
    kit = piece((0.75, 0.2, 36), (2, 0.2, 36), drum=True)
    assert played(rewriting.without("syncopated", kit)) == played(kit), "a kit keeps its strokes"


def test_chords_between_beats_come_on_the_beat_before():
    skank = piece(*((beat + 0.5, 0.25, pitch) for beat in range(4) for pitch in (60, 64)))
    assert played(rewriting.without("syncopated", skank))[:2] == [(0, 0.25, 60), (0, 0.25, 64)]


def test_swung_eighths_are_even():
    swung = piece((0, 2 / 3, 60), (2 / 3, 1 / 3, 62), (1, 1, 64), (2 + 1 / 3, 1 / 3, 65))
    assert [pytest.approx(note) for note in played(rewriting.without("swing rhythm", swung))] == [
        (0, 0.5, 60), (0.5, 0.5, 62), (1, 1, 64), (2.25, 0.25, 65)
    ]  # fmt: skip


def test_kicks_are_thinned_and_all_else_stays():
    kit = piece(*((beat, 0.2, key) for beat in range(8) for key in (36, 42)), drum=True)
    assert [start for start, _, key in played(rewriting.without("four-on-the-floor", kit)) if key == 36] == [0, 2, 4, 6]
    once = played(rewriting.without("danceable", kit))
    assert [start for start, _, key in once if key == 36] == [0, 4] and len([one for one in once if one[2] == 42]) == 8
    assert rewriting.without("piano", kit) is None


@pytest.mark.parametrize("tag", ["swing rhythm", "danceable", "four-on-the-floor", "groovy"])
def test_a_pair_of_a_rhythm_has_the_same_parts(tag):
    pair = pairs.make(tag, ("piano", "bass guitar", "drums"), duration=8, seed=2, taxonomy=TAXONOMY)
    assert pair is not None and pair.means == "rhythm"
    sides = [[(part.tag, part.program) for part in side.piece.parts] for side in (pair.holding, pair.lacking)]
    assert sides[0] == sides[1] and pair.holding.piece.tempi == pair.lacking.piece.tempi
