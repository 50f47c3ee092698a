"""Words for rhythm and texture change the parts that they speak of; read from the notes, beside the piece without."""

from collections.abc import Callable

import numpy as np
import pytest

from conceptcaps.audio import composition
from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
BAND = ("flute", "bass guitar", "piano", "drums")
HATS, SNARES, KICKS = (42, 44, 46), (38, 40), (35, 36)


def compose(*tags: str, seed: int = 0) -> Piece:
    return composition.compose(tags, duration=10, seed=seed, taxonomy=TAXONOMY)


def notes(piece: Piece, tag: str, keys: tuple[int, ...] = ()) -> list[Note]:
    chosen = [note for part in piece.parts if part.tag == tag for note in part.notes]
    return sorted(note for note in chosen if not keys or note.pitch in keys)


def onsets(chosen: list[Note]) -> np.ndarray:
    return np.unique(np.round([note.start for note in chosen], 2))


def offbeat(chosen: list[Note]) -> float:
    """Share of notes that begin between the beats."""
    return float(np.mean([0.15 < note.start % 1 < 0.9 for note in chosen]))


def rate(chosen: list[Note]) -> float:
    """Strokes a beat, from the first to the last."""
    times = onsets(chosen)
    return float((len(times) - 1) / np.ptp(times))


def eighths(chosen: list[Note]) -> float:
    """Share of strokes that come half a beat after the one before."""
    return float(np.mean(np.isclose(np.diff(onsets(chosen)), 0.5, atol=0.02)))


def alone(chosen: list[Note]) -> float:
    """Share of strokes of one note; the strings of a chord may come a tenth of a beat one after the other."""
    strokes = np.split(chosen, np.flatnonzero(np.diff([note.start for note in chosen]) > 0.1) + 1)
    return float(np.mean([len(stroke) == 1 for stroke in strokes]))


def mean(measure: Callable[[list[Note]], float], tag: str, *tags: str, keys: tuple[int, ...] = ()) -> float:
    """Of a part, over pieces of a genre that has nothing of the kind itself."""
    pieces = [compose(*BAND, *tags, seed=seed) for seed in range(6)]
    return float(np.mean([measure(notes(piece, tag, keys)) for piece in pieces]))


@pytest.mark.parametrize(
    ("word", "part", "measure", "least"),
    [
        ("syncopated", "flute", offbeat, 0.55),
        ("syncopated", "bass guitar", offbeat, 0.55),
        ("syncopated", "piano", offbeat, 0.9),
        ("driving rhythm", "bass guitar", rate, 1.7),
        ("driving rhythm", "piano", eighths, 0.8),
        ("groovy", "bass guitar", offbeat, 0.55),
        ("groovy", "piano", offbeat, 0.7),
        ("arpeggio", "piano", alone, 0.8),
    ],
)
def test_a_word_makes_its_rhythm_in_each_part(word, part, measure, least):
    genre = "rock" if measure is eighths else "country"
    assert mean(measure, part, genre, word) > least > mean(measure, part, genre) + 0.1


def test_driving_hats_and_groovy_ghosts():
    assert mean(rate, "drums", "country", "driving rhythm", keys=HATS) > 1.9
    assert mean(offbeat, "drums", "pop", "groovy", keys=SNARES) > 0.5 > mean(offbeat, "drums", "pop", keys=SNARES) + 0.2


def test_swing_walks_and_its_tune_and_chords_are_uneven():
    assert mean(offbeat, "bass guitar", "pop", "swing rhythm") < 0.1 < mean(offbeat, "bass guitar", "pop") - 0.1
    for part in ("piano", "flute"):
        late = [
            note.start % 1
            for seed in range(6)
            for note in notes(compose(*BAND, "pop", "swing rhythm", seed=seed), part)
        ]
        assert np.mean(np.isclose(late, 2 / 3, atol=0.02)) > 0.2, part


def test_a_strummed_guitar_strikes_chords():
    chosen = [
        notes(compose("strummed guitar", "flute", "classical", seed=seed), "strummed guitar") for seed in range(6)
    ]
    assert max(map(alone, chosen)) < 0.2 and min(map(rate, chosen)) > 0.7


def repeated(part: Part, piece: Piece) -> float:
    """Share of whole bars within the clip that are the first one again, note for note but for loudness."""
    bars: dict[int, list] = {bar: [] for bar in range(int(piece.beats(10.0) // piece.meter))}
    for note in sorted(part.notes):
        if (bar := int((note.start + 0.01) // piece.meter)) in bars:
            bars[bar].append((round(note.start - bar * piece.meter, 2), note.pitch))
    return float(np.mean([bars[bar] == bars[0] for bar in bars]))


@pytest.mark.parametrize("genre", ["pop", "folk", "jazz"])
def test_a_repetitive_pattern_comes_back_note_for_note_from_the_first_bar_on(genre):
    for seed in range(4):
        piece, plain = (
            compose("bass guitar", "flute", genre, *word, seed=seed) for word in (["repetitive pattern"], [])
        )
        for tag in ("bass guitar", "flute"):
            parts = [next(part for part in each.parts if part.tag == tag) for each in (piece, plain)]
            assert repeated(parts[0], piece) > 0.75 > repeated(parts[1], plain), (seed, tag)
        assert all(min(note.start for note in part.notes) < piece.meter / 2 for part in piece.parts), seed


def test_words_for_rhythm_bring_the_players_that_they_need():
    def played(*tags: str) -> set[str]:
        return {part.tag for part in compose(*tags).parts}

    assert played("flute") == {"flute"}
    for word in ("syncopated", "waltz time", "swing rhythm", "slow tempo", "arpeggio"):
        assert len(played("flute" if word != "arpeggio" else "claps", word)) > 1, word
    for word in ("steady beat", "groovy", "danceable", "four-on-the-floor", "driving rhythm"):
        assert "drums" in played("piano", word), word
    for word in ("groovy", "danceable"):
        assert "bass guitar" in played("piano", word), word


def test_words_for_dancing_keep_metre_and_tempo():
    for word in ("danceable", "groovy"):
        tempi = [compose("piano", word, seed=seed).tempi[0][1] for seed in range(12)]
        assert min(tempi) >= 100 and max(tempi) <= 128, word
    for word in ("four-on-the-floor", "danceable", "groovy"):
        assert {compose("progressive rock", word, seed=seed).meter for seed in range(12)} == {4}
    assert {compose("progressive rock", seed=seed).meter for seed in range(12)} - {4}


def test_a_beat_that_is_asked_for_does_not_stop():
    """Some moods have stops; a steady beat strikes something in every beat all the same."""

    def silent(*tags: str) -> int:
        gaps = 0
        for seed in range(6):
            piece = compose("drums", *tags, seed=seed)
            struck = {int(note.start + 0.01) for note in notes(piece, "drums")}
            gaps += len(set(range(piece.meter, int(piece.beats(10.0)))) - struck)
        return gaps

    assert silent("dramatic", "steady beat") == 0 < silent("dramatic")
