"""Where beats fall in time."""

import numpy as np
import pytest

from conceptcaps.audio.score import Piece


def test_beats_at_one_tempo_are_evenly_spaced():
    piece = Piece([], [(0.0, 90.0)], meter=4)
    np.testing.assert_allclose(piece.seconds(np.arange(7)), np.arange(7) * 60 / 90)


def test_seconds_and_beats_are_inverses_over_changing_tempi():
    piece = Piece([], [(0.0, 60.0), (4.0, 75.0), (8.0, 180.0)], meter=4)
    beats = np.linspace(0, 30, 61).reshape(-1, 1)
    np.testing.assert_allclose(piece.beats(piece.seconds(beats)), beats)
    assert piece.seconds(8.0) == pytest.approx(4 * 60 / 60 + 4 * 60 / 75)
