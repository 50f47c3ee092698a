"""One stream for every decision."""

import numpy as np

from conceptcaps.audio.composing.streams import Streams


def test_a_stream_is_told_by_the_seed_and_the_whole_name_alone():
    one = Streams(3)
    assert one.share("bass", "line") == Streams(3).share("bass", "line")
    others = [one.share("bass"), one.share("line", "bass"), one.share("bass", "turn"), Streams(4).share("bass", "line")]
    assert one.share("bass", "line") not in others and len(set(others)) == 4


def test_equal_names_pick_equal_places_of_longer_and_shorter_lists():
    for name in range(50):
        share = Streams(0).share(name)
        assert 0 <= share < 1
        for length in (1, 2, 7):
            assert Streams(0).pick(range(length), name) == int(share * length)


def test_small_deviations_are_told_by_the_seed_and_the_whole_name_and_spread_evenly():
    streams = Streams(3)
    assert streams.deviation("touch", 1.5) == Streams(3).deviation("touch", 1.5) == streams.deviation("touch", "1.5")
    assert len({streams.deviation("touch", 1.5), streams.deviation("touch"), Streams(4).deviation("touch", 1.5)}) == 3
    found = np.sort([streams.deviation("touch", number) for number in range(2000)])
    assert found[0] >= 0 and found[-1] < 1
    assert np.abs(found - np.arange(2000) / 2000).max() < 0.04, "Kolmogorov and Smirnov's bound at 2,000"
