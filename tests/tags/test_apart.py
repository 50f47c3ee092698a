import numpy as np
import pandas as pd
import pytest

from conceptcaps.tags import apart
from conceptcaps.tags.sampling import Samples
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
SETS = [["jazz", "piano", "sad", "slow tempo", "calm"], ["rock", "drums"], ["jazz", "piano"]]


def drawn(sets, reason=""):
    return Samples(TAXONOMY.encode(sets), reason, 9, 9.0, 0.0, *np.zeros((2, len(TAXONOMY.tags))))


def test_sets_equal_or_nearly_so_to_another_samples_are_left_out_and_counted(tmp_path):
    others = [["rock", "drums"], [*SETS[0][:4], "calm", "not of this taxonomy"], SETS[0][:4], ["rock", "drums"]]
    pd.DataFrame({"tags": others, "split": ["train", "test", "train", "test"]}).to_parquet(tmp_path / "samples.parquet")
    found = apart.leave_out(drawn(SETS, "few"), tmp_path, taxonomy=TAXONOMY)
    assert np.array_equal(found.rows, TAXONOMY.encode(SETS[2:]))
    assert found.reason == "few; 2 are like sets of the other samples"


def test_four_tags_of_five_are_nearly_equal_and_three_of_five_are_not(tmp_path):
    pd.DataFrame({"tags": [SETS[0][:4]]}).to_parquet(tmp_path / "samples.parquet")
    left = apart.leave_out(drawn(SETS), tmp_path, taxonomy=TAXONOMY)
    assert np.array_equal(left.rows, TAXONOMY.encode(SETS[1:]))
    with pytest.raises(ValueError, match="expected sets unlike those of .*, got 1 that are all like one: draw more"):
        apart.leave_out(drawn(SETS[:1]), tmp_path, taxonomy=TAXONOMY)
    pd.DataFrame({"tags": [SETS[0][:3]]}).to_parquet(tmp_path / "samples.parquet")
    assert len(apart.leave_out(drawn(SETS[:1]), tmp_path, taxonomy=TAXONOMY).rows) == 1


def test_without_other_samples_all_stay(tmp_path):
    assert apart.leave_out(drawn(SETS), None, taxonomy=TAXONOMY).rows.shape == (3, len(TAXONOMY.tags))
