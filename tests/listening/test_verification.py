"""Verdicts stand beside the truth; what is unknown is no negative; a clip that cannot be heard keeps its row."""

import numpy as np
import pandas as pd
import pytest

from conceptcaps.listening import verification
from conceptcaps.listening.verifier import Verifier
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def detectors(*tags: str) -> Verifier:
    """One detector a tag; the probability that tag k is there is the logistic of feature k."""
    size = len(tags)
    ones, zeros = np.ones(size), np.zeros(size)
    shape = {"mean": zeros, "components": np.eye(size), "weights": np.eye(size), "bias": zeros, "slope": ones}
    worth = dict.fromkeys(tags, 0.9)
    return Verifier(
        tags=tags, **shape, intercept=zeros, present=0.8 * ones, absent=0.2 * ones, auc=worth, auc_low=worth
    )


def verified(features, asked, present, absent, *, tags=("piano", "drums"), bad=None):
    ids = [f"id{row}" for row in range(len(asked))]
    truth = verification.labels(present, absent, tags=TAXONOMY.tags)
    return verification.verify(
        ids, asked, truth, np.array(features, float), verifier=detectors(*tags), taxonomy=TAXONOMY, bad=bad or {}
    )


def test_every_tag_with_a_detector_is_heard_asked_or_not():
    frame = verified([[5, -5]], [["piano", "catchy"]], [["piano"]], [["drums"]])
    assert frame["tag"].tolist() == ["piano", "drums", "catchy"]
    assert frame["verdict"].tolist() == ["present", "absent", "none"]
    assert frame["truth"].tolist() == ["present", "absent", "unknown"]
    assert frame["asked"].tolist() == [True, False, True]
    assert frame["probability"].round(3).tolist()[:2] == [0.993, 0.007] and np.isnan(frame["probability"][2])


def test_what_was_asked_is_no_truth():
    frame = verified([[0, 0]], [["piano"]], [[]], [["piano"]])
    assert frame.set_index("tag").loc["piano", "truth"] == "absent"
    assert frame["verdict"].tolist() == ["uncertain", "uncertain"]


def test_a_bad_clip_keeps_its_row_and_moves_no_other():
    asked, present = [["piano"]] * 3, [["piano"]] * 3
    frame = verified([[5, 0], [-5, 0]], asked, present, [[]] * 3, bad={"id1": "silent"})
    piano = frame[frame["tag"] == "piano"].set_index("id")
    assert piano["verdict"].to_dict() == {"id0": "present", "id1": "none", "id2": "absent"}
    assert np.isnan(piano.loc["id1", "probability"]) and piano.loc["id1", "error"] == "silent"


def test_worth_is_measured_on_known_truth_only():
    truth = np.arange(40) % 2
    features = np.stack([np.where(truth == 1, 3.0, -3.0), np.zeros(40)], axis=1)
    features[:2, 0] *= -1  # two mistakes, one each way
    present = [["piano"] if value else [] for value in truth]
    absent = [[] if value else ["piano"] for value in truth]
    frame = verified(features, [["piano", "drums"]] * 40, present, absent)
    table = verification.evaluate(frame, taxonomy=TAXONOMY).set_index("tag")
    assert table.loc["piano", ["positives", "negatives"]].tolist() == [20, 20]
    assert table.loc["piano", "auc"] == pytest.approx(0.95**2 + 0.05 * 0.95, abs=0.01)
    assert table.loc["piano", "false_present"] == table.loc["piano", "false_absent"] == 0.05
    assert np.isnan(table.loc["drums", "auc"]), "nobody knows where the drums are"
    found = verification.summarise(frame, table.reset_index(), seed=0)
    assert found["verify/false_present_rate"] == found["verify/false_absent_rate"] == 0.05
    assert found["verify/decided_rate"] == 0.5, "the drums are uncertain everywhere"
    bars, points = verification.detectors_figure(table.reset_index()).axes
    assert [bar.get_width() for bar in bars.patches] == [table.loc["piano", "auc"]]
    drawn = {line.get_label(): list(line.get_xdata()) for line in points.lines}
    assert drawn["false present"] == drawn["false absent"] == [5.0], "per cent"
    (line,) = [line for line in verification.reliability_figure(frame).axes[0].lines if line.get_marker() == "o"]
    assert line.get_ydata().tolist() == [0.05, 0.95] and line.get_xdata().round(3).tolist() == [0.047, 0.953]


def test_rows_of_worth_and_summary_of_two_detectors():
    """Ten clips, five with each tag; the first detector is right, the second the wrong way round on one clip."""
    truth = np.arange(10) % 2
    right = np.where(truth == 1, 3.0, -3.0)
    turned = np.where(np.arange(10) == 1, -4.0, right)
    present = [["piano", "drums"] if value else [] for value in truth]
    absent = [[] if value else ["piano", "drums"] for value in truth]
    asked = [["piano", "polka metal"]] * 10
    frame = verified(np.stack([right, turned], axis=1), asked, present, absent)
    table = verification.evaluate(frame, taxonomy=TAXONOMY).set_index("tag")
    assert table.loc["piano", "auc"] == 1 and table.loc["drums", "auc"] == pytest.approx(20 / 25), "five are enough"
    for tag, counts in {"piano": [5, 0, 5], "drums": [4, 0, 6]}.items():
        assert table.loc[tag, ["present", "uncertain", "absent"]].tolist() == counts
    assert table.loc["drums", "calibration_error"] == pytest.approx(
        (1 - 5 * 0.0474 - 0.018 + 4 * 0.0474) / 10, abs=0.001
    )
    found = verification.summarise(frame, table.reset_index(), seed=0)
    assert found["verify/auc_mean"] == pytest.approx(0.9) and found["verify/auc_instrument"] == pytest.approx(0.9)
    assert found["verify/auc_mean_low"] <= 0.9 <= found["verify/auc_mean_high"] and found["verify/detectors"] == 2
    assert found["verify/failed"] == 0 and found["verify/decided_rate"] == 0.5, "a tag without detector is undecided"
    assert found["verify/false_present_rate"] == 0 and found["verify/false_absent_rate"] == 0.1
    assert found["verify/calibration_error"] == pytest.approx(table["calibration_error"].mean())
    few = verified(right[:8, None], asked[:8], present[:8], absent[:8], tags=("piano",), bad={})
    assert np.isnan(verification.evaluate(few, taxonomy=TAXONOMY)["auc"][0]), "four are not"


def test_calibration_error_of_known_answers():
    assert verification.calibration_error([0.9] * 10, [1] * 9 + [0]) == pytest.approx(0)
    assert verification.calibration_error([0.9] * 10, [0] * 10) == pytest.approx(0.9)
    assert verification.calibration_error([1.0, 0.0], [1, 0]) == 0


def test_labels_know_three_answers():
    found = verification.labels([["piano"], []], [["drums"], ["polka metal"]], tags=["piano", "drums"])
    np.testing.assert_array_equal(found, [[1, 0], [np.nan, np.nan]])


def test_recordings_take_labels_from_a_table():
    rows = pd.DataFrame({"id": ["a.ogg", "b.ogg"]})
    table = pd.DataFrame(
        {"id": ["a.ogg", "a.ogg", "x.ogg"], "tag": ["acoustic guitar", "Drums", "piano"], "truth": [1, 0, 1]}
    )
    found = verification.labelled(rows, table, taxonomy=TAXONOMY)
    assert found["id"].tolist() == ["a.ogg", "b.ogg"] and found["tags"].equals(found["present"])
    assert set(found["present"][0]) >= {"acoustic guitar", "guitar"} and found["absent"].tolist() == [["drums"], []]
    with pytest.raises(ValueError, match="expected columns id, tag and truth in the labels, got id, tag"):
        verification.labelled(rows, table[["id", "tag"]], taxonomy=TAXONOMY)
    with pytest.raises(ValueError, match="expected labels of the recordings"):
        verification.labelled(rows, table[2:], taxonomy=TAXONOMY)
    for odd in (np.nan, -1):
        with pytest.raises(ValueError, match="expected a truth of 0 or 1"):
            verification.labelled(rows, table.assign(truth=[1, 0, odd]), taxonomy=TAXONOMY)
