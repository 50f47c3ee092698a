"""How parts are put together: sounds, levels, further stems of a tag."""

import pytest

from conceptcaps.audio import composition
from conceptcaps.audio.composing import tables
from tests.audio.composing.plans import TAXONOMY

BITING = {29, 30, 62, 81, 84, 87}


def compose(*tags: str, seed: int = 0):
    return composition.compose(tags, duration=10.0, seed=seed, taxonomy=TAXONOMY)


def levels(*tags: str, seed: int = 0) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for part in compose(*tags, seed=seed).parts:
        found.setdefault(part.tag, []).append(part.level)
    return found


@pytest.mark.parametrize(
    ("tags", "tag", "level"),
    [
        (("flute", "piano"), "flute", 0.0),
        (("flute", "piano"), "piano", -3.0),
        (("piano",), "piano", 0.0),  # three decibels more, for it has the tune
        (("flute", "strings"), "strings", -6.0),
        (("flute", "bass guitar"), "bass guitar", -5.0),
        (("flute", "drone"), "drone", -8.0),
        (("flute", "nature sounds"), "nature sounds", -5.0),
        (("flute", "drums"), "drums", 1.0),  # soft hats and cymbals have to be heard
        (("flute", "shaker"), "shaker", -4.0),
        (("flute", "timpani"), "timpani", -5.0),
        (("flute", "rock"), "bass guitar", -7.0),  # two less, for nobody asked for it
        (("flute", "rock"), "drums", 1.0),
    ],
)
def test_levels_are_beside_a_leading_part(tags, tag, level):
    assert set(levels(*tags)[tag]) == {level}


def test_a_second_harmony_is_softer_than_the_first():
    found = [levels("soft rock", seed=seed) for seed in range(30)]
    second = {value for each in found for tag in ("acoustic guitar", "piano") for value in each.get(tag, [])}
    assert second == {-8.0}


def test_a_tag_with_several_stems_has_each_at_its_level():
    parts = [part for part in compose("orchestra", "flute").parts if part.tag == "orchestra"]
    assert [part.level for part in parts] == [-6.0, -8.0, -6.0, -6.0, -9.0], "beside that of their tag"
    assert parts[1].program == 60 and parts[3].program == 43 and parts[4].program == 47
    assert parts[0].program in (48, 49) and parts[2].program in (73, 68, 40, 56)
    rows = [tables.instruments()["orchestra"], *tables.instruments()["orchestra"]["also"]]
    for part, row in zip(parts, rows, strict=True):
        assert all(row["low"] <= note.pitch <= row["high"] for note in part.notes), "each in its own compass"
    still = [part.program for part in compose("orchestra", "no percussion").parts]
    assert 47 not in still and 43 in still and 60 in still
    harmony = [part for part in compose("vocal harmony").parts if part.tag == "vocal harmony"]
    assert [part.level for part in harmony][:3] == [0.0, -1.0, -4.0]
    first, second = ({note.start: note.pitch for note in part.notes} for part in harmony[:2])
    apart = [(first[start] - pitch) % 12 for start, pitch in second.items() if start < 4]
    assert apart and 0 not in apart, "in parallel, not in unison"
    stems = {part.program for seed in range(40) for part in compose("orchestra", seed=seed).parts[2:3]}
    assert stems == {73, 68, 40, 56}


def test_every_program_of_an_instrument_is_played_by_some_seed_and_none_that_bites_where_it_is_soft():
    def programs(*tags: str) -> set[int]:
        return {part.program for seed in range(40) for part in compose(*tags, seed=seed).parts if part.tag == tags[0]}

    assert programs("synth lead", "energetic") == {80, 81, 84, 87} and programs("synth lead", "calm") == {80}
    assert programs("guitar solo", "calm") == {27} and programs("distorted guitar", "calm") == {29, 30}
    assert programs("synthesizer", "gentle") == {90, 63, 50} and programs("piano") == {0, 1, 2}
    assert programs("guitar solo", "easygoing") & BITING, "an accent of .35 or more is not soft"


def test_percussion_stands_apart_and_effects_have_their_own_sounds():
    piece = compose("drums", "claps", "piano", "turntable scratching", "nature sounds")
    kinds = {part.tag: part.percussion for part in piece.parts}
    assert kinds == {"drums": True, "claps": True, "piano": False, "turntable scratching": True, "nature sounds": False}
    claps = {note.pitch for part in piece.parts if part.tag == "claps" for note in part.notes}
    drums = {note.pitch for part in piece.parts if part.tag == "drums" for note in part.notes}
    assert claps == {39} and 39 not in drums, "who is asked for by name is left to play"
    assert {part.program for part in piece.parts if part.tag == "drums"} <= {0, 8, 16, 32}


def test_who_has_the_tune_or_the_ground_plays_more_than_its_chords():
    def notes(*tags: str):
        return next(part.notes for part in compose(*tags).parts if part.tag == "piano")

    full, led, based = notes("piano"), notes("piano", "flute"), notes("piano", "bass guitar")
    assert len(led) < len(full) > len(based)
    assert min(note.pitch for note in full) < min(note.pitch for note in based) - 5
    assert max(note.pitch for note in full) > max(note.pitch for note in led)


def test_a_piece_states_what_its_plan_was():
    piece = compose("jazz", "waltz time", "sad")
    assert piece.meter == 3 and piece.mode == "minor" and 0 <= piece.key < 12
    assert piece.chords[0].beat == 0.0 and [chord.beat for chord in piece.chords] == sorted(
        {c.beat for c in piece.chords}
    )
    assert all(chord.quality and 0 <= chord.root < 12 for chord in piece.chords)
    for part in piece.parts:
        assert part.notes, "no part is empty"
    with pytest.raises(ValueError, match="expected tags and a duration above 0 s"):
        composition.compose(["piano"], duration=0, seed=0, taxonomy=TAXONOMY)
