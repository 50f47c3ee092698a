"""What the notes leave open is neither present nor absent."""

import numpy as np
import pytest

from conceptcaps.audio import composition
from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.audio.truth import rules, truth
from tests.audio.truth.test_truth import TAXONOMY, read, struck, tune


def test_a_low_part_that_is_no_bass_leaves_bass_open():
    """Tuba, bassoon and a piano's left hand, whose mean lies below C3 (48); nothing that low, no bass."""
    flute = tune([72, 74, 76, 74] * 4, program=73)
    for program in (58, 70, 0):
        low = read(tune([36, 38, 40, 43] * 4, program=program), flute)
        assert "bass" not in {*low.present, *low.absent} and "bass guitar" in low.absent
        assert "bass" in read(tune([48, 50, 52, 55] * 4, program=program), flute).absent
    assert "bass" in read(tune([36, 38, 40, 43] * 4, program=33), flute).present
    assert "bass" in read(struck(36, range(16))).absent


@pytest.mark.parametrize("bpms", [(100, 130), (100, 150), (70, 150), (98, 94)])
def test_of_a_tempo_that_changes_the_classes_it_reaches_are_open_and_the_others_absent(bpms):
    classes = {"slow tempo": (30, 76), "moderately slow tempo": (76, 95.5), "medium tempo": (95.5, 115.5)}
    classes |= {"moderately fast tempo": (115.5, 135.5), "fast tempo": (135.5, 400)}
    notes = [Note(beat, 0.9, 60 + beat % 5, 80) for beat in range(30)]
    piece = Piece([Part("", 0, False, notes)], list(zip((0, 8), bpms, strict=True)), 4)
    found = truth(piece, duration=10, taxonomy=TAXONOMY)
    reached = {name for name, (low, high) in classes.items() if any(low <= bpm < high for bpm in bpms)}
    assert not set(classes) & set(found.present) and set(classes) & set(found.absent) == set(classes) - reached
    assert found.facts["bpm"] is None and len(np.unique(np.diff(found.facts["beats"]).round(2))) == 2
    before = truth(piece, duration=4, taxonomy=TAXONOMY)  # the first tempo alone
    assert before.facts["bpm"] == bpms[0] and len(set(classes) & set(before.present)) == 1


def test_music_without_a_key_has_none_and_plain_music_keeps_its_own():
    """Random tones, and pieces that are composed without a key, beside ones that have one."""
    drawn = np.random.default_rng(0).integers(36, 84, size=(40, 3))
    random = Part("", 0, False, [Note(0.5 * at, 0.5, int(each), 80) for at, row in enumerate(drawn) for each in row])
    assert read(random, duration=10).facts["key"] is None and read(random, duration=10).facts["mode"] is None
    plain = ["country"], ["folk"], ["classical"], ["piano", "calm"], ["blues"], ["pop", "sad"]
    told = {}
    for tags in (*plain, ["chaotic"]):
        pieces = [composition.compose(tags, duration=10, seed=seed, taxonomy=TAXONOMY) for seed in range(40, 50)]
        told[tags[0]] = [truth(piece, duration=10, taxonomy=TAXONOMY).facts["key"] for piece in pieces]
    assert told.pop("chaotic").count(None) >= 5
    assert not any(None in keys for keys in told.values())


def test_noises_alone_have_no_meter():
    surf = Part("", 122, False, [Note(0, 40, 60, 80)])
    alone, both = read(surf, meter=3), read(surf, struck(36, range(0, 16, 3)), meter=3)
    assert "waltz time" not in {*alone.present, *alone.absent} and alone.facts["meter"] is None
    assert "nature sounds" in alone.present
    assert "waltz time" in both.present and both.facts["meter"] == 3


def test_two_thirds_of_the_cues_make_a_tag_present_and_under_a_third_absent():
    yes, open_, no = 1, 0, -1
    for values, told in {
        (yes, yes, no): yes, (yes, yes, yes, no, no): open_, (yes, yes, yes, open_, no): yes, (yes, no, no): open_,
        (open_, open_, no): open_, (yes, no, no, no): no, (open_, no, no): no,
    }.items():  # fmt: skip
        assert rules._mostly(list(values)) == told, values
