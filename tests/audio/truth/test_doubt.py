"""What the notes leave open is neither present nor absent."""

from tests.audio.truth.test_truth import read, struck, tune


def test_a_low_part_that_is_no_bass_leaves_bass_open():
    """Tuba, bassoon and a piano's left hand, whose mean lies below C3 (48); nothing that low, no bass."""
    flute = tune([72, 74, 76, 74] * 4, program=73)
    for program in (58, 70, 0):
        low = read(tune([36, 38, 40, 43] * 4, program=program), flute)
        assert "bass" not in {*low.present, *low.absent} and "bass guitar" in low.absent
        assert "bass" in read(tune([48, 50, 52, 55] * 4, program=program), flute).absent
    assert "bass" in read(tune([36, 38, 40, 43] * 4, program=33), flute).present
    assert "bass" in read(struck(36, range(16))).absent
