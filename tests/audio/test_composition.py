"""The score is checked, not the sound: what is asked for is written down, what is excluded is not."""

import numpy as np
import pytest

from conceptcaps.audio import composition
from conceptcaps.audio.score import Piece
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def compose(*tags: str, duration: float = 10, seed: int = 0) -> Piece:
    return composition.compose(tags, duration=duration, seed=seed, taxonomy=TAXONOMY)


@pytest.mark.parametrize("tag", TAXONOMY.tags)
def test_every_tag_is_realised_or_said_not_to_be(tag):
    piece = compose(tag)
    know = composition.table()
    assert piece.parts and all(part.notes for part in piece.parts)
    assert set(piece.unrealised) <= {tag}
    if tag in know["instruments"] or tag in know["kit"]:
        assert not piece.unrealised and tag in {part.tag for part in piece.parts}
    assert not set(piece.added) & {tag}


def test_the_table_names_tags_of_the_taxonomy():
    know = composition.table()
    for section in ("instruments", "kit", "moods", "tempo", "genres"):
        assert set(know[section]) - {"none"} <= set(TAXONOMY.tags)
    assert {genre["beat"] for genre in know["genres"].values()} <= set(know["beats"])


@pytest.mark.parametrize(
    ("tag", "low", "high"),
    [
        ("slow tempo", 40, 75),
        ("moderately slow tempo", 75, 95),
        ("medium tempo", 95, 115),
        ("moderately fast tempo", 115, 135),
        ("fast tempo", 135, 200),
    ],
)
def test_beats_per_minute_are_the_tag_s_whatever_the_genre(tag, low, high):
    for genre in ("ballad", "techno", "punk rock", "jazz"):
        for seed in range(5):
            assert low <= compose(tag, genre, seed=seed).tempi[0][1] <= high


def test_words_that_cannot_be_sung_are_unrealised():
    piece = compose("male vocals", "rock", "electric guitar")
    assert piece.unrealised == ["male vocals"]


def test_no_percussion_means_none():
    piece = compose("no percussion", "techno", "synthesizer")
    assert not any(part.percussion for part in piece.parts) and "no percussion" not in piece.unrealised
    assert any(part.percussion for part in compose("techno", "synthesizer").parts)


def test_what_plays_unasked_is_reported():
    assert compose("jazz").added == ["double bass", "drums", "piano"]
    assert compose("jazz", "piano", "double bass", "drums").added == []
    assert compose("flute").added == []


def starts(piece: Piece, tag: str) -> np.ndarray:
    return np.array([note.start for part in piece.parts if part.tag == tag for note in part.notes])


def test_four_on_the_floor_kicks_on_every_beat():
    piece = compose("four-on-the-floor", "house", "electronic drums")
    kicks = {n.start for p in piece.parts if p.percussion for n in p.notes if n.pitch == 36}
    assert kicks == {float(beat) for beat in range(int(max(kicks)) + 1)}


def test_a_waltz_has_three_beats_and_swing_uneven_eighths():
    assert compose("waltz time", "piano").meter == 3
    offbeats = starts(compose("swing rhythm", "piano", "jazz", "arpeggio"), "piano") % 1
    assert set(np.round(offbeats, 3)) == {0.0, 0.667}
    straight = starts(compose("piano", "classical", "arpeggio"), "piano") % 1
    assert set(np.round(straight, 3)) == {0.0, 0.5}


def test_tempo_changes_and_steady_beat():
    assert len({bpm for _, bpm in compose("tempo changes", "piano").tempi}) > 3
    assert "steady beat" not in compose("steady beat", "drums").unrealised


def test_chords_stay_in_the_mode():
    piece = compose("sad", "piano", "classical")
    scale = set(composition.table()["modes"]["minor"])
    used = {note.pitch % 12 for part in piece.parts for note in part.notes}
    assert any(used <= {(tonic + step) % 12 for step in scale} for tonic in range(12))


def test_same_seed_same_piece_and_another_seed_another():
    assert compose("jazz", "piano", seed=1) == compose("piano", "jazz", seed=1)
    assert compose("jazz", "piano", seed=1) != compose("jazz", "piano", seed=2)


def test_refuses_contradictions_and_nothing():
    with pytest.raises(ValueError, match="expected tags without contradictions, got slow tempo with fast tempo"):
        compose("slow tempo", "fast tempo")
    with pytest.raises(ValueError, match="expected tags and a duration above 0 s"):
        compose()
