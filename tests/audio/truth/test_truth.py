"""Truth is read from notes: small scores whose answer is known by hand, and what holds of every piece."""

import re
from dataclasses import replace

import numpy as np
import pytest

from conceptcaps.audio import composition
from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.audio.truth import Levels, Truth, rules, truth
from conceptcaps.audio.truth.lines import line
from conceptcaps.audio.truth.sounding import sounding_notes
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
MAJOR = [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88]  # Krumhansl and Kessler, 1982
MINOR = [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17]


def read(*parts: Part, bpm: float = 120, meter: int = 4, duration: float = 8, levels: Levels | None = None) -> Truth:
    return truth(Piece(list(parts), [(0, bpm)], meter), duration=duration, taxonomy=TAXONOMY, levels=levels)


def numbers(*parts: Part, bpm: float = 120, meter: int = 4, duration: float = 8) -> dict[str, float]:
    music = sounding_notes(Piece(list(parts), [(0, bpm)], meter), duration=duration, levels=None)
    return rules.Judge(music).numbers


def struck(key: int, beats, program: int = 0) -> Part:
    return Part("", program, True, [Note(float(beat), 0.2, key, 90) for beat in beats])


def tune(pitches, program: int = 0, step: float = 1.0, length: float = 0.9) -> Part:
    return Part(
        "", program, False, [Note(step * place, length * step, pitch, 80) for place, pitch in enumerate(pitches)]
    )


def progression(*chords, program: int = 0) -> Part:
    """Chords of four beats each, with their root two octaves below."""
    notes = [Note(4.0 * bar, 4.0, pitch, 80) for bar, chord in enumerate(chords) for pitch in (chord[0] - 24, *chord)]
    return Part("", program, False, notes)


C, D_MINOR, F, G, A_MINOR, E_MINOR = (60, 64, 67), (62, 65, 69), (65, 69, 72), (67, 71, 74), (69, 72, 76), (64, 67, 71)


@pytest.mark.parametrize(
    ("chords", "key", "mode"),
    [
        ((C, F, G, C), "C", "major"),
        ((A_MINOR, D_MINOR, E_MINOR, A_MINOR), "A", "minor"),
        ((D_MINOR, G, D_MINOR, C), "D", "dorian"),
        ((G, F, G, G), "G", "mixolydian"),
        ((E_MINOR, F, E_MINOR, D_MINOR), "E", "phrygian"),
    ],
)
def test_key_and_mode_of_textbook_progressions(chords, key, mode):
    facts = read(progression(*chords)).facts
    assert (facts["key"], facts["mode"]) == (key, mode)


def test_chords_come_with_their_times():
    facts = read(progression(C, A_MINOR, F, G)).facts
    assert facts["chords"] == [
        {"time": 0.0, "name": "Cmaj"}, {"time": 2.0, "name": "Amin"},
        {"time": 4.0, "name": "Fmaj"}, {"time": 6.0, "name": "Gmaj"},
    ]  # fmt: skip


@pytest.mark.parametrize("shift", range(1, 12))
def test_a_transposed_piece_moves_its_key_and_keeps_its_mode(shift):
    first, moved = (
        read(progression(*(tuple(pitch + by for pitch in chord) for chord in (A_MINOR, F, C, G)))).facts
        for by in (0, shift)
    )
    names = "C C# D Eb E F F# G Ab A Bb B".split()
    assert names.index(moved["key"]) == (names.index(first["key"]) + shift) % 12 and moved["mode"] == first["mode"]


def krumhansl(piece: Piece, duration: float) -> set[str]:
    """Whether the thirds are major or minor, by correlation with listeners' ratings; both where it is close."""
    music = sounding_notes(piece, duration=duration, levels=None)
    pitched = ~music.percussion
    weight = music.end[pitched] - music.start[pitched]
    profile = np.bincount(music.pitch[pitched] % 12, weights=weight, minlength=12)
    best = {
        name: max(np.corrcoef(np.roll(ratings, key), profile)[0, 1] for key in range(12))
        for name, ratings in (("major", MAJOR), ("minor", MINOR))
    }
    return {name for name, score in best.items() if score > max(best.values()) - 0.02}


def test_major_and_minor_agree_with_listeners_ratings_on_composed_music():
    major, minor = {"major", "lydian", "mixolydian"}, {"minor", "dorian", "phrygian"}
    agreed = []
    for seed in range(12):
        for tags in (["pop", "happy"], ["pop", "sad"], ["classical", "melancholic"], ["country"], ["piano", "calm"]):
            piece = composition.compose(tags, duration=16, seed=seed, taxonomy=TAXONOMY)
            mode = truth(piece, duration=16, taxonomy=TAXONOMY).facts["mode"]
            if mode in major | minor:
                agreed.append(("major" if mode in major else "minor") in krumhansl(piece, 16))
    assert len(agreed) > 40 and np.mean(agreed) > 0.85


def test_beats_of_the_kit_by_hand():
    beats = np.arange(16)
    kit = numbers(struck(36, beats), struck(38, beats[beats % 4 % 2 == 1]), struck(42, beats / 2))
    assert kit["four"] == kit["backbeat"] == 1 and kit["halftime"] == 0 and kit["kicks"] == 1
    half = numbers(struck(36, beats[beats % 4 == 0]), struck(38, beats[beats % 4 == 2]))
    assert half["halftime"] == 1 and half["backbeat"] == 0 and half["four"] == 0.25
    assert read(struck(36, beats)).present.count("four-on-the-floor") == 1
    assert "four-on-the-floor" in read(struck(36, beats), meter=3).absent


def test_swing_and_straight_eighths():
    swung = tune([60 + place % 5 for place in range(16)])
    swung.notes += [note._replace(start=note.start + 2 / 3, length=0.3) for note in swung.notes]
    assert "swing rhythm" in read(swung).present
    straight = tune([60 + place % 5 for place in range(32)], step=0.5)
    assert "swing rhythm" in read(straight).absent and "syncopated" in read(straight).absent
    pushed = Part("", 0, False, [Note(place + 0.5, 1, 60 + place % 5, 80) for place in range(15)])
    assert "syncopated" in read(pushed).present


@pytest.mark.parametrize(
    ("bpm", "tag"),
    [(60, "slow tempo"), (85, "moderately slow tempo"), (105, "medium tempo"), (125, "moderately fast tempo"),
     (150, "fast tempo")],
)  # fmt: skip
def test_one_tempo_class_holds_and_the_others_do_not(bpm, tag):
    found = read(tune([60 + place % 7 for place in range(40)]), bpm=bpm)
    classes = {"slow tempo", "moderately slow tempo", "medium tempo", "moderately fast tempo", "fast tempo"}
    assert classes & set(found.present) == {tag} and classes - {tag} <= set(found.absent)
    assert found.facts["bpm"] == pytest.approx(bpm) and len(found.facts["beats"]) == np.ceil(8 * bpm / 60)


def test_a_drone_alone_has_no_tempo_to_tell():
    found = read(Part("", 89, False, [Note(0, 40, 40, 80), Note(0, 40, 47, 80)]))
    assert "drone" in found.present and "repetitive pattern" in found.absent
    assert not {"slow tempo", "medium tempo", "fast tempo"} & {*found.present, *found.absent}


def test_tempo_changes_and_steady_beat_exclude_each_other():
    notes = [Note(beat, 0.9, 60 + beat % 5, 80) for beat in range(20)]
    speeding = Piece([Part("", 0, False, notes)], [(0, 90), (4, 100), (8, 120)], 4)
    assert "tempo changes" in truth(speeding, duration=8, taxonomy=TAXONOMY).present
    assert "tempo changes" in truth(speeding, duration=2, taxonomy=TAXONOMY).absent  # not yet, within the clip
    assert "steady beat" in read(tune([60] * 16)).present


def test_instruments_are_told_by_program_and_key_not_by_the_name_of_the_part():
    parts = [replace(tune(range(60, 76), program=40), tag="piano"), replace(struck(38, range(16)), tag="kick drum")]
    found = read(*parts)
    assert {"violin", "strings", "snare drum", "drums", "percussion", "instrumental"} <= set(found.present)
    assert {"piano", "kick drum", "no percussion", "viola", "vocals", "child vocals"} <= set(found.absent)


def test_what_was_asked_for_is_not_read():
    piece = composition.compose(["rock", "happy"], duration=8, seed=0, taxonomy=TAXONOMY)
    other = replace(piece, parts=[replace(part, tag="x") for part in piece.parts], key=3, mode="hijaz", chords=[])
    assert truth(piece, duration=8, taxonomy=TAXONOMY) == truth(other, duration=8, taxonomy=TAXONOMY)


def test_notes_after_the_clip_and_silent_notes_do_not_count():
    late = Part("", 73, False, [Note(place, 1, 72, 80) for place in range(16, 30)])
    silent = Part("", 56, False, [Note(place, 1, 72, 0) for place in range(16)])
    found = read(tune([60] * 16), late, silent)
    assert {"flute", "trumpet"} <= set(found.absent)
    assert [each["program"] for each in found.facts["instruments"]] == [0]


@pytest.mark.parametrize(
    ("level", "notes", "length", "expected"),
    [(-15, 2, 1, "present"), (-15.1, 2, 1, None), (-41, 9, 1, "absent"), (0, 1, 0.5, None), (0, 1, 1.7, "present")],
)
def test_an_instrument_is_there_if_it_can_be_heard(level, notes, length, expected):
    flute = Part("", 73, False, [Note(2 * place, length, 72 + place, 80) for place in range(notes)])
    found = read(tune([60] * 16), flute, levels=Levels([0.0, level], {}))
    values = {"present": "flute" in found.present, "absent": "flute" in found.absent}
    assert values == {name: name == expected for name in values}


def test_pieces_of_a_kit_are_heard_one_by_one():
    kit = Part("", 0, True, [*struck(36, range(16)).notes, *struck(42, range(16)).notes])
    found = read(kit, levels=Levels([0.0], {(0, 36): -3.0, (0, 42): -20.0}))
    assert "kick drum" in found.present and "hi-hats" not in {*found.present, *found.absent}
    assert "snare drum" in found.absent


def test_an_effect_must_last():
    blip = Part("", 123, False, [Note(0, 0.1, 60, 80), Note(4, 0.1, 60, 80)])
    assert "nature sounds" not in read(tune([60] * 16), blip).present
    assert "nature sounds" in read(Part("", 123, False, [Note(0, 8, 60, 80)])).present


@pytest.mark.parametrize("program", [115, 117, 119, 122, 125, 126])
def test_a_noise_has_no_pitch_and_changes_no_reading_of_those_that_have_one(program):
    piano = progression(C, F, G, C)
    noise = Part("", program, False, [Note(0, 16, 37, 80), *(Note(beat + 0.5, 0.4, 35, 80) for beat in range(15))])
    alone, plain, both = read(noise), numbers(piano), numbers(piano, noise)
    assert "drone" in alone.absent and alone.facts["key"] is None and alone.facts["chords"] == []
    names = "register legato leap contour repetition third chromatic roughness changes sevenths powers colours"
    names += " syncopation offbeats drone arpeggio glides walking"
    assert {name: plain[name] for name in names.split()} == {name: both[name] for name in names.split()}
    assert read(piano).facts["chords"] == read(piano, noise).facts["chords"]


def test_how_a_guitar_is_played_decides_which_guitar_it_is():
    chords = Part("", 25, False, [Note(beat / 2, 0.4, 50 + 4 * tone, 80) for beat in range(32) for tone in range(4)])
    assert {"strummed guitar", "acoustic guitar"} <= set(read(chords).present)
    solo = tune([64 + place % 9 for place in range(32)], program=29, step=0.5)
    assert {"guitar solo", "distorted guitar"} <= set(read(solo).present)
    assert "strummed guitar" in read(solo).absent and "acoustic guitar" in read(solo).absent
    slide = Part("", 27, False, [Note(place, 0.9, 64 + place % 5, 80, -2.0) for place in range(16)])
    assert "slide guitar" in read(slide).present and "slide guitar" in read(solo).absent
    tremolo = Part("", 25, False, [Note(place / 4, 0.2, 72 + place // 16, 80) for place in range(64)])
    assert "mandolin" in read(tremolo).present and "acoustic guitar" not in read(tremolo).present
    quick = Part("", 25, False, [Note(place / 4, 0.2, 50 + 5 * tone, 80) for place in range(64) for tone in range(5)])
    assert "acoustic guitar" in read(quick).present, "however fast it is strummed: no mandolin reaches D3"
    assert "mandolin" in read(quick).absent


def test_voices_by_how_many_and_how_high():
    low, high = tune([50 + place % 5 for place in range(16)], 53), tune([70 + place % 5 for place in range(16)], 53)
    assert "male vocals" in read(low).present and "female vocals" in read(low).absent
    assert "female vocals" in read(high).present and "a cappella" in read(high).present
    assert "vocal harmony" in read(low, high).present and "vocal harmony" in read(high).absent
    assert "a cappella" in read(high, tune([60] * 16)).absent and "instrumental" in read(high).absent
    assert not {"child vocals", "rap vocals"} & {*read(high).present, *read(high).absent}


def test_lines_by_hand():
    music = sounding_notes(Piece([tune([60, 64, 67, 72] * 8, step=0.5)], [(0, 120)], 4), duration=8, levels=None)
    found = line(music, music.sources[0].notes)
    assert found["voices"] == 1 and found["pitches"] == 4 and found["broken"] == 1 and found["tremolo"] == 0
    assert "arpeggio" in read(tune([60, 64, 67, 72] * 8, step=0.5)).present
    assert "arpeggio" in read(tune([60, 62, 64, 65] * 8, step=0.5)).absent
    assert "repetitive pattern" in read(tune([60, 62, 64, 65] * 8, step=0.5)).present
    swung = tune([60, 64, 67, 72] * 8, step=0.5)
    swung.notes = [note._replace(start=note.start + (note.start % 1) / 3) for note in swung.notes]
    assert "arpeggio" in read(swung).present


def test_a_figure_that_comes_back_once_repeats_and_one_of_a_bar_is_open():
    figure, other = [60, 62, 64, 67, 65, 64, 62, 59], [72, 71, 69, 67, 67, 69, 71, 74]
    for seconds, beats in ((4.5, 9), (5.9, 11)):
        assert "repetitive pattern" in read(tune(figure * 3, step=0.5), duration=seconds).present, beats
        assert "repetitive pattern" in read(tune(figure + other + figure, step=0.5), duration=seconds).absent
    short = read(tune(figure * 3, step=0.5), duration=3.5)
    assert "repetitive pattern" not in {*short.present, *short.absent}


def test_soft_hats_of_a_kit_that_is_heard_tell_its_pattern_and_not_themselves():
    notes = [Note(beat / 2, 0.2, 42, 60) for beat in range(32)] + [Note(float(beat), 0.2, 36, 90) for beat in range(16)]
    piece = Piece([Part("", 0, True, notes)], [(0, 120)], 4)
    for level, ticks in ((-20.0, 2.0), (-30.0, 0.0)):
        levels = Levels([-5.0], {(0, 42): level, (0, 36): -6.0})
        music = sounding_notes(piece, duration=8, levels=levels)
        assert rules.Judge(music).numbers["ticks"] == ticks
        assert "hi-hats" not in truth(piece, duration=8, taxonomy=TAXONOMY, levels=levels).present


def test_dissonance_is_rough_and_consonance_is_not():
    sweet, sour = (
        numbers(Part("", 0, False, [Note(0, 16, pitch, 80) for pitch in chord])) for chord in (C, (60, 61, 66))
    )
    assert sweet["roughness"] == 0 and sour["roughness"] > 0.5


PIECES = [[tag] for tag in TAXONOMY.tags] + [
    ["rock", "happy", "slow tempo"], ["salsa", "happy"], ["sad", "calm"], ["no percussion", "orchestra"],
    ["accordion", "slow tempo"], ["claps", "happy"], ["jazz", "piano", "sparse arrangement"],
]  # fmt: skip


@pytest.mark.parametrize("tags", PIECES, ids=" ".join)
def test_presence_goes_up_absence_goes_down_and_nothing_contradicts_itself(tags):
    for seed in range(2):
        piece = composition.compose(tags, duration=8, seed=seed, taxonomy=TAXONOMY)
        found = truth(piece, duration=8, taxonomy=TAXONOMY)
        present, absent = set(found.present), set(found.absent)
        assert not present & absent and TAXONOMY.closure(present) == present
        assert all(set(TAXONOMY.ancestors(tag)) & absent <= absent for tag in TAXONOMY.tags)
        assert {tag for tag in TAXONOMY.tags if set(TAXONOMY.ancestors(tag)) & absent} <= absent
        assert not TAXONOMY.contradictions(present)


def test_silence_holds_nothing_but_silence():
    found = read(Part("", 0, False, []))
    assert found.present == [] and set(found.absent) == set(TAXONOMY.tags)
    with pytest.raises(ValueError, match="expected a duration above 0 s, got 0"):
        read(tune([60]), duration=0)


def test_every_tag_has_a_rule_with_a_reason_made_of_features_that_exist():
    table = rules.table()
    assert set(table["tags"]) == set(TAXONOMY.tags)
    music = sounding_notes(composition.compose(["pop"], duration=8, seed=0, taxonomy=TAXONOMY), duration=8, levels=None)
    known = set(rules.Judge(music).numbers) | set(line(music, music.sources[0].notes))

    def check(rule):
        conditions = [*rule.get("all", {}).items(), *rule.get("cues", {}).items(), *rule.get("line", {}).items()]
        for name, wanted in conditions:
            if isinstance(wanted, bool):
                assert set(name.split(" or ")) <= set(TAXONOMY.tags), name
            else:
                assert name in known and name in table["features"] and wanted[0] <= wanted[1], name
        for inner in rule.get("any", []):
            check(inner)

    for rule in table["tags"].values():
        assert re.fullmatch(r"[A-Z0-9].*\.", rule["why"])
        assert {"programs", "keys", "all", "any", "undecided"} & set(rule)
        check(rule)
