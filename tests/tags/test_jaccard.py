import numpy as np
import pytest

from conceptcaps.tags.jaccard import jaccard


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_equals_the_arithmetic_of_sets(precision):
    rows = np.random.default_rng(0).random((12, 6)) < 0.4
    sets = [set(np.flatnonzero(row)) for row in rows]
    index = [[len(one & other) / max(len(one | other), 1) for other in sets] for one in sets]
    found = jaccard(rows.astype(precision), rows.astype(precision))
    assert found.dtype == precision and np.allclose(found, index, rtol=1e-7)
