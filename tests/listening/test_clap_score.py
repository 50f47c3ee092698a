import numpy as np
import pytest

from conceptcaps.listening import clap_score
from conceptcaps.listening.clap_score import clap_scores, retrieval
from tests.listening.test_distances import draw


def test_clap_scores_and_control_by_hand():
    own, others = clap_scores([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [3.0, 3.0]])
    assert own == pytest.approx([1.0, np.sqrt(0.5)])
    assert others == pytest.approx([np.sqrt(0.5), 0.0])


def test_clap_control_is_the_mean_over_shuffles():
    audio, text = draw(6, seed=0), draw(6, seed=1)
    shifts = [clap_scores(audio, np.roll(text, shift, axis=0))[0].mean() for shift in range(1, 6)]
    assert clap_scores(audio, text)[1].mean() == pytest.approx(np.mean(shifts))


def test_clap_scores_refuse_unpaired_rows_and_zeros():
    with pytest.raises(ValueError, match="4 clips and 3 captions"):
        clap_scores(draw(4, seed=0), draw(3, seed=0))
    with pytest.raises(ValueError, match="row of zeros"):
        clap_scores(draw(4, seed=0), np.zeros((4, 4)))


def test_retrieval_by_hand():
    audio = np.eye(3)
    text = np.array([[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 1.0]])
    found = retrieval(audio, text)
    assert found == {"recall_1": pytest.approx(1.0), "recall_10": 1.0, "median_rank": 1.0}
    swapped = retrieval(audio, text[[1, 2, 0]])
    assert swapped["recall_1"] == pytest.approx(1 / 3) or swapped["recall_1"] < 1
    assert retrieval(np.eye(20), np.roll(np.eye(20), 1, axis=0))["median_rank"] == 2 + 18 / 2


def test_equal_captions_are_found_by_chance():
    found = retrieval(np.eye(20), np.ones((20, 20)))
    assert found["recall_1"] == 0 and found["median_rank"] == 10.5


def test_a_few_clips_at_a_time_rank_as_all_at_once(monkeypatch):
    audio, text = draw(40, seed=0), draw(40, seed=1)
    whole = retrieval(audio, text)
    monkeypatch.setattr(clap_score, "_AT_ONCE", 3)
    assert retrieval(audio, text) == whole
