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
    strummed = piece(*((beat + 0.5 + 0.02 * string, 0.25, 60 + string) for beat in range(4) for string in range(3)))
    moved = played(rewriting.without("syncopated", strummed))
    assert [round(start, 2) for start, *_ in moved[:4]] == [0, 0.02, 0.04, 1], "a chord moves as a whole"


def test_where_two_strokes_would_begin_at_once_the_first_stays():
    both = piece((0, 0.5, 60), (0, 0.5, 64), (0.5, 0.4, 60), (0.5, 0.4, 64), (1, 1, 60))
    assert played(rewriting.without("groovy", both)) == [(0, 0.5, 60), (0, 0.5, 64), (1, 1, 60)]


def test_noises_and_even_parts_are_left_alone():
    surf = Piece([Part("", 122, False, [Note(0.5, 4, 60, 80)])], [(0.0, 100.0)], 4)
    assert rewriting.without("syncopated", surf) == surf
    even = piece((0, 0.5, 60), (0.5, 0.5, 62), (1.25, 0.25, 64))
    assert rewriting.without("swing rhythm", even) == even


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


@pytest.mark.parametrize("tag", ["swing rhythm", "danceable", "four-on-the-floor", "groovy", "syncopated"])
def test_a_pair_of_a_rhythm_has_the_same_parts(tag):
    made = [
        pairs.make(tag, ("piano", "bass guitar", "drums"), duration=8, seed=seed, taxonomy=TAXONOMY)
        for seed in range(6)
    ]
    rewritten = [pair for pair in made if pair is not None and pair.means == "rhythm"]
    assert rewritten, "another way is taken where less changes"
    for pair in rewritten:
        sides = [[(part.tag, part.program) for part in side.piece.parts] for side in (pair.holding, pair.lacking)]
        assert sides[0] == sides[1] and pair.holding.piece.tempi == pair.lacking.piece.tempi
