"""Designed concept sets do not depend on who looked for their pairs."""

import pandas as pd
import pytest

from conceptcaps.audio import designed
from conceptcaps.audio.contexts import Source
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, executor

FORM = {"sample_rate": 8000, "channels": 1}
POSSIBLE = ("piano", "violin", "flute", "drums", "happy", "jazz")


def test_several_processes_choose_the_same_sets():
    source = Source((), POSSIBLE, 2.0, 7, Taxonomy.load(), tries=2)
    dials = {"count": 4, "fonts": [assets.fetch("soundfont")], **FORM}
    tags = ["piano", "violin", "flute", "drums"]
    rows, table, short = designed.design(source, tags, workers=1, **dials)
    assert len(rows) == 8 * (4 - len(short)) and rows["id"].is_unique
    again = designed.design(source, tags, workers=2, **dials)
    pd.testing.assert_frame_equal(rows, again[0])
    pd.testing.assert_frame_equal(table, again[1])
    assert short == again[2]


def test_what_a_search_raises_is_raised_here():
    for workers in (1, 2):
        with pytest.raises(ZeroDivisionError):
            list(executor.gather(divmod, [(1, 1), (1, 0), (1, 1), (2, 1)], workers))
        assert list(executor.gather(divmod, [(7, 2), (8, 3), (9, 4), (5, 5)], workers)) == [
            (3, 1),
            (2, 2),
            (2, 1),
            (1, 0),
        ]
