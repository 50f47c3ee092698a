"""Writers side by side: differences that are there are found, those that are not are not; planted faults."""

import numpy as np
import pandas as pd
import pytest

from conceptcaps.captions import comparison, readability
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
REAL = pd.DataFrame(
    {
        "tags": [["jazz", "piano", "slow tempo"]] * 12,
        "caption": ["A slow jazz tune in which a piano plays the melody. It ends softly after many bars."] * 12,
    }
)


def scores(values, *, start=0):
    ids = [str(number) for number in range(start, start + len(values))]
    return pd.DataFrame({"sample_id": ids, "reference_id": ids, "recall": values})


def test_writers_of_the_same_sets_are_compared_in_pairs():
    spread = np.random.default_rng(0).normal(0, 10, 40)  # between sets, far over the difference between writers
    steps = np.random.default_rng(1).normal(1, 0.2, 40)
    table = comparison.compare({"ours": scores(spread + steps), "theirs": scores(spread)}, seed=0)
    row = table.iloc[0]
    assert row["paired"] and row["n"] == 40 and row["difference"] == pytest.approx(steps.mean())
    assert row["low"] < row["difference"] < row["high"] and row["p_value"] < 0.001
    apart = comparison.compare({"ours": scores(spread + steps), "theirs": scores(spread, start=100)}, seed=0).iloc[0]
    assert not apart["paired"] and apart["difference"] == pytest.approx(steps.mean()) and apart["p_value"] > 0.3


def test_under_the_null_few_are_significant():
    generator = np.random.default_rng(0)
    values = [
        comparison.compare({"a": scores(generator.normal(size=30)), "b": scores(generator.normal(size=30))}, seed=0)
        for _ in range(40)
    ]
    assert np.mean([table["p_value"][0] < 0.05 for table in values]) <= 0.15


def test_q_values_hold_over_the_whole_table():
    generator = np.random.default_rng(0)
    items = {name: scores(generator.normal(size=20)).assign(other=generator.normal(size=20)) for name in "abc"}
    table = comparison.compare(items, seed=0)
    assert len(table) == 6 and (table["q_value"] >= table["p_value"] - 1e-12).all()


def test_too_few_are_refused():
    with pytest.raises(ValueError, match=r"two writers or more with 10 captions each, got \{'b': 3\}"):
        comparison.compare({"a": scores(np.ones(12)), "b": scores(np.ones(3))}, seed=0)
    blank = scores(np.where(np.arange(12) < 4, 1, np.nan))
    with pytest.raises(ValueError, match=r"two writers or more with 10 captions each, got \{'b': 4\}"):
        comparison.compare({"a": scores(np.ones(12)), "b": blank}, seed=0)
    with pytest.raises(
        ValueError, match=r"a score that two writers have for 10 captions each, got none of \['a', 'b'\]"
    ):
        comparison.compare(
            {"a": scores(np.ones(12)), "b": scores(np.ones(12)).rename(columns={"recall": "f1"})}, seed=0
        )
    with pytest.raises(ValueError, match="expected name=source,name=source"):
        comparison.sources("a=runs:/1/captions")
    assert comparison.sources("a=x.csv,b=runs:/1/captions") == {"a": "x.csv", "b": "runs:/1/captions"}


def test_planted_faults_are_there():
    tags, text = REAL["tags"][0], REAL["caption"][0]
    swapped = comparison.plant(text, tags, fault="swapped", taxonomy=TAXONOMY, seed=0)
    assert len(set(tags) - set(TAXONOMY.find(swapped))) == 1 and len(swapped.split()) >= len(text.split())
    shuffled = comparison.plant(text, tags, fault="shuffled", taxonomy=TAXONOMY, seed=0)
    assert sorted(shuffled.split()) == sorted(text.split()) and shuffled != text
    doubled = comparison.plant(text, tags, fault="doubled", taxonomy=TAXONOMY, seed=0)
    assert readability.doubled_words(doubled) and not readability.doubled_words(text)
    assert comparison.plant("It ends.", tags, fault="swapped", taxonomy=TAXONOMY, seed=0) == ""
    for fault in comparison.PLANTED:
        assert comparison.plant(" ", tags, fault=fault, taxonomy=TAXONOMY, seed=0) == ""


def test_a_judge_s_agreement_with_what_was_planted():
    def counts_doubled(tags, captions, others):
        return np.array([
            0.5 + 0.5 * np.sign(len(readability.doubled_words(other)) - len(readability.doubled_words(one)))
            for one, other in zip(captions, others, strict=True)
        ])  # fmt: skip

    found = comparison.agreement(REAL, prefer=counts_doubled, taxonomy=TAXONOMY, seed=0)
    assert found["judge/doubled"] == 1 and found["judge/shuffled"] == 0.5 and found["judge/doubled_n"] == 12
    mute = comparison.agreement(REAL, prefer=lambda *_: np.full(12, np.nan), taxonomy=TAXONOMY, seed=0)
    assert np.isnan(mute["judge/doubled"]) and mute["judge/doubled_n"] == 0
