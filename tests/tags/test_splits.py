import json

import numpy as np
import pandas as pd
import pytest

from conceptcaps.tags import corpus, splits
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return corpus.distil(corpus.load_corpus("demo"), taxonomy=TAXONOMY, min_categories=3).rows


def split(rows: pd.DataFrame, how: str = "grouped", seed: int = 0) -> dict[str, pd.DataFrame]:
    return splits.split_rows(rows, taxonomy=TAXONOMY, split=how, seed=seed)


def test_every_row_is_in_one_part_and_ids_are_unique(rows):
    parts = split(rows)
    whole = pd.concat(parts.values())
    assert sorted(whole["id"]) == sorted(rows["id"]) and whole["id"].is_unique
    assert [round(len(part) / len(rows), 1) for part in parts.values()] == [0.8, 0.1, 0.1]


def test_equal_tag_sets_and_near_duplicates_stay_together(rows):
    twice = pd.concat([rows, rows.assign(id=rows["id"] + "x")], ignore_index=True)
    parts = split(twice)
    homes = {name: {tuple(tags) for tags in part["tags"]} for name, part in parts.items()}
    assert not homes["train"] & homes["validation"] and not homes["train"] & homes["test"]
    assert not homes["validation"] & homes["test"]


def test_tags_have_their_share_of_every_part(rows):
    labels = {name: TAXONOMY.encode(part["tags"].tolist()).sum(0) for name, part in split(rows).items()}
    total = sum(labels.values())
    frequent = total >= 40
    share = labels["train"][frequent] / total[frequent]
    assert np.all((share > 0.65) & (share < 0.95))


def test_same_seed_same_split_and_another_seed_another(rows):
    ids = [split(rows, seed=seed)["test"]["id"].tolist() for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_official_split_takes_the_flag(rows):
    parts = split(rows, "official")
    assert parts["test"]["is_eval"].all()
    assert not parts["train"]["is_eval"].any()
    with pytest.raises(ValueError, match="expected split grouped or official, got 'random'"):
        split(rows, "random")


def test_certificate_states_hashes_and_no_overlap_and_refuses_one(rows, tmp_path):
    parts = split(rows)
    for name, part in parts.items():
        part.to_parquet(tmp_path / f"{name}.parquet")
    facts = splits.certificate(tmp_path, parts, taxonomy=TAXONOMY, facts={"seed": 0})
    splits.write_certificate(tmp_path, facts)
    read = json.loads((tmp_path / "split_certificate.json").read_text())
    assert read["rows"] == {name: len(part) for name, part in parts.items()}
    assert all(number == 0 for counts in read["overlaps"].values() for number in counts.values())
    assert len(read["tags"]) == 200
    leak = {**parts, "test": pd.concat([parts["test"], parts["train"][:1]])}
    with pytest.raises(ValueError, match="expected splits that share nothing"):
        splits.certificate(tmp_path, leak, taxonomy=TAXONOMY, facts={})


def test_near_duplicates_do_not_mind_case_and_punctuation():
    texts = ["A calm tune for harp and flute.", "a calm tune, for harp and flute", "A loud march for brass."]
    assert splits.near_duplicates(texts).tolist() == [[0, 1]]
    assert splits.near_duplicates(["one"]).shape == (0, 2)
