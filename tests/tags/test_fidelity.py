import numpy as np
import pytest

from conceptcaps.tags import fidelity
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def blocks(count: int, seed: int) -> np.ndarray:
    """Rows that hold one of five blocks of tags, each tag of it with probability .8."""
    generator = np.random.default_rng(seed)
    block = generator.integers(5, size=count)
    rows = np.zeros((count, 200), dtype=bool)
    for place in range(count):
        start = 10 * block[place]
        rows[place, start : start + 6] = generator.random(6) < 0.8
    return rows


def test_cosine_of_a_set_with_itself_is_one_and_marginals_alone_are_less():
    real, held_out = blocks(2000, 0), blocks(400, 1)
    same = fidelity.cooccurrence(held_out, held_out, real, seed=0)
    assert same.cosine == pytest.approx(1)
    like = fidelity.cooccurrence(blocks(2000, 2), held_out, real, seed=0)
    assert like.low <= like.ratio <= like.high and like.ratio == pytest.approx(1, abs=0.02)
    shuffled = np.stack([np.random.default_rng(tag).permutation(real[:, tag]) for tag in range(200)], axis=1)
    assert fidelity.cooccurrence(shuffled, held_out, real, seed=0).ratio < 0.8


def test_pairs_are_counted_off_the_diagonal():
    rows = np.array([[True, True, False], [True, False, False]])
    assert fidelity.pair_frequencies(rows).tolist() == [0.5, 0.0, 0.0]


def test_a_classifier_tells_unlike_sets_and_not_like_ones():
    assert fidelity.two_sample_auc(blocks(200, 1), blocks(200, 2), seed=0) < 0.62
    assert fidelity.two_sample_auc(~blocks(200, 1), blocks(200, 2), seed=0) > 0.99


def test_nearest_is_one_for_a_copy():
    real = blocks(100, 0)
    near = fidelity.nearest_jaccard(np.concatenate([real[:3], ~real[:1]]), real)
    assert near[:3].tolist() == [1, 1, 1] and near[3] < 0.1


def test_contradictions_are_a_share_of_rows():
    rows = TAXONOMY.encode([["slow tempo", "fast tempo"], ["jazz"], ["piano"], ["rock"]])
    assert fidelity.contradictions(rows, taxonomy=TAXONOMY) == 0.25


def test_all_figures_together_have_their_counterparts_of_real_rows():
    found = fidelity.evaluate(blocks(300, 3), held_out=blocks(150, 1), real=blocks(600, 0), taxonomy=TAXONOMY, seed=0)
    assert found["copies"] >= 0 and found["size_distance"] < 0.5 and found["frequency_error"] < 0.02
    assert found["nearest"] == pytest.approx(found["nearest_held_out"], abs=0.1)
    with pytest.raises(ValueError, match="expected sets of two rows or more"):
        fidelity.cooccurrence(blocks(1, 0), blocks(5, 0), blocks(5, 0), seed=0)
