"""The table of detectors is whole, the pulse of made rhythms is found, and verdicts follow the scores."""

import re

import numpy as np
import pandas as pd
import pytest

from conceptcaps.audio import spectrum
from conceptcaps.listening import musicnn, verification
from conceptcaps.tags.taxonomy import Taxonomy
from tests import toy_clips

TAXONOMY = Taxonomy.load()


def rhythm(bpm, *, seconds=10.0, seed=0):
    """Short noise bursts on the beat."""
    generator = np.random.default_rng(seed)
    sound = 0.001 * generator.normal(size=int(seconds * toy_clips.RATE))
    for start in np.arange(0.1, seconds - 0.1, 60 / bpm):
        at = int(start * toy_clips.RATE)
        sound[at : at + 800] += 0.4 * generator.normal(size=800) * np.linspace(1, 0, 800)
    return np.clip(sound, -1, 1).astype(np.float32)


def log_mel(sound):
    return spectrum.spectrum(toy_clips.flac(sound))


# --- the table


def test_every_detector_is_of_a_tag_and_hears_tags_that_musicnn_has():
    assert set(verification.DETECTORS) <= set(TAXONOMY.tags)
    heard = [(source, name) for tag in verification.HEARD_BY for _, source, name in verification.HEARD_BY[tag]]
    assert all(name in musicnn.TAGS[source] for source, name in heard)
    assert all(len(set(parts)) == len(parts) for parts in verification.HEARD_BY.values())
    assert len(verification.HEARD_BY) == 56 and verification.DETECTORS["piano"] == "musicnn_mtt"
    assert (
        verification.DETECTORS["rock"] == "musicnn_msd+musicnn_mtt" and verification.DETECTORS["slow tempo"] == "tempo"
    )
    assert verification.HEARD_BY["hip hop"] == [(1, "MSD", "Hip-Hop")]


def test_only_tags_of_absence_are_heard_by_what_is_not_there():
    negative = {tag for tag, heard in verification.HEARD_BY.items() if any(sign < 0 for sign, _, _ in heard)}
    assert negative == {"no percussion"} and TAXONOMY.polarity("no percussion") == "absent"


def test_tempo_ranges_are_the_taxonomy_s():
    for tag, (low, high) in verification.TEMPI.items():
        numbers = [int(number) for number in re.findall(r"\d+", TAXONOMY.definition(tag))]
        assert numbers == ([low] if tag == "fast tempo" else [low, high])
    assert set(verification.TEMPI) == set(TAXONOMY.exclusions[0])


# --- tempo


@pytest.mark.parametrize("bpm", [60, 84, 105, 125, 160])
def test_pulse_is_strongest_at_the_tempo_of_a_rhythm(bpm):
    found = verification.pulse(log_mel(rhythm(bpm)))
    assert verification.BPM[found.argmax()] == pytest.approx(bpm, rel=0.03)
    assert found.shape == (156,) and found.dtype == np.float32 and found.min() >= 0 and found.max() == 1
    scores = {
        tag: found[(low <= verification.BPM) & (high >= verification.BPM)].max()
        for tag, (low, high) in verification.TEMPI.items()
    }
    right = next(tag for tag, (low, high) in verification.TEMPI.items() if low <= bpm <= high)
    assert max(scores, key=scores.get) == right


def test_pulse_does_not_depend_on_loudness():
    loud, soft = (verification.BPM[verification.pulse(log_mel(gain * rhythm(105))).argmax()] for gain in (1, 0.2))
    assert loud == pytest.approx(soft, rel=0.02)


def test_silence_has_no_pulse():
    assert not verification.pulse(log_mel(np.zeros(48_000, np.float32))).any()


# --- scores


def test_scores_are_likelihoods_of_each_clip_by_itself(tmp_path):
    sounds = [toy_clips.flac(rhythm(bpm, seconds=4)) for bpm in (60, 150)]
    scores = verification.hear(sounds, cache=tmp_path)
    assert set(scores.columns) == set(verification.DETECTORS) and len(scores) == 2
    assert ((scores >= 0) & (scores <= 1)).all(axis=None)
    assert (scores["no percussion"] < 1 - scores["percussion"] + 1e-9).all()
    assert scores["fast tempo"][1] == 1 and scores["slow tempo"][0] == 1
    pd.testing.assert_frame_equal(
        verification.hear(sounds[1:], cache=tmp_path / "fresh"), scores[1:].reset_index(drop=True)
    )


def test_a_clip_shorter_than_a_window_is_scored(tmp_path):
    assert verification.hear([toy_clips.flac(rhythm(120, seconds=1))], cache=tmp_path).notna().all(axis=None)


# --- verdicts


def judged(values, asked, *, added=None, tag="piano"):
    scores = pd.DataFrame({tag: values})
    added = added or [[] for _ in asked]
    return verification.judge([f"id{row}" for row in range(len(asked))], asked, added, scores, taxonomy=TAXONOMY)


def test_verdict_is_the_rank_among_the_clips_without_the_tag():
    others = [[] for _ in range(8)]
    frame, table = judged([0.9, 0.5, 0.1, *np.linspace(0.2, 0.8, 8)], [["piano"]] * 3 + others)
    assert frame.to_dict("list") == {
        "id": ["id0", "id1", "id2"],
        "tag": ["piano"] * 3,
        "score": [0.9, 0.5, 0.1],
        "verdict": ["present", "uncertain", "absent"],
        "detector": ["musicnn_mtt"] * 3,
    }
    row = table.iloc[0]
    assert (row["asked"], row["others"], row["auc"]) == (3, 8, 0.5)
    assert (row["present"], row["uncertain"], row["absent"]) == (1, 1, 1)


def test_equal_scores_say_nothing():
    frame, table = judged([0.5] * 12, [["piano"]] * 4 + [[]] * 8)
    assert set(frame["verdict"]) == {"uncertain"} and table["auc"].tolist() == [0.5]


def test_a_perfect_detector():
    frame, table = judged([1, 1, 1] + [0] * 8, [["piano"]] * 3 + [["sad"]] * 8)
    assert (frame[frame["tag"] == "piano"]["verdict"] == "present").all() and table["auc"].tolist() == [1.0]


def test_a_tag_without_detector_is_uncertain_and_has_no_score():
    frame, table = judged([0.5] * 9, [["drone", "piano"]] + [[]] * 8)
    row = frame[frame["tag"] == "drone"].iloc[0]
    assert np.isnan(row["score"]) and (row["verdict"], row["detector"]) == ("uncertain", "none")
    assert table["tag"].tolist() == ["piano"]


def test_too_few_other_clips_are_uncertain_but_scored():
    frame, table = judged([0.9] + [0.1] * 7, [["piano"]] + [[]] * 7)
    assert frame["verdict"].tolist() == ["uncertain"] and frame["score"].tolist() == [0.9]
    assert table["auc"].isna().all()


def test_clips_that_carry_the_tag_otherwise_are_no_comparison():
    asked = [["guitar"]] * 3 + [["acoustic guitar"]] * 2 + [[]] * 2 + [[]] * 8
    added = [[]] * 5 + [["guitar"], ["strummed guitar"]] + [[]] * 8
    _, table = judged([0.5] * 15, asked, added=added, tag="guitar")
    assert table[["asked", "others"]].to_numpy().tolist() == [[5, 8]]


def test_tags_of_another_taxonomy_stand_for_themselves_and_clips_may_have_none():
    frame, table = judged([0.5] * 9, [["polka"]] + [[]] * 8)
    assert frame["verdict"].tolist() == ["uncertain"] and table.empty
    assert verification.summarise(frame, table)["verify/uncertain_rate"] == 1
    verification.figure(table)


def test_judge_refuses_lists_of_different_lengths():
    with pytest.raises(ValueError, match=r"one entry a clip, got \[2, 1, 2, 2\]"):
        verification.judge(["a", "b"], [["piano"]], [[], []], pd.DataFrame({"piano": [0, 1]}), taxonomy=TAXONOMY)


def test_summary_counts_rates_over_asked_tags():
    scores = pd.DataFrame({"piano": [1.0] * 3 + [0.0] * 9, "jazz": [0.0] * 9 + [1.0] * 3})
    asked = [["piano", "drone"]] * 3 + [["sad"]] * 6 + [["jazz"]] * 3
    frame, table = verification.judge([str(row) for row in range(12)], asked, [[]] * 12, scores, taxonomy=TAXONOMY)
    metrics = verification.summarise(frame, table)
    assert metrics["verify/present_rate"] == pytest.approx(6 / 15)
    assert metrics["verify/detected_rate"] == pytest.approx(6 / 15)
    assert metrics["verify/present_rate_detected"] == 1
    assert metrics["verify/uncertain_rate"] == pytest.approx(9 / 15) and metrics["verify/absent_rate"] == 0
    assert metrics["verify/detectors"] == 2 and metrics["verify/auc_mean"] == 1
    assert [axes.get_xlabel() for axes in verification.figure(table).axes] == [
        "AUC (.5 is chance)",
        "clips asked for the tag (%)",
    ]
