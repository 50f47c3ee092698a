import json
import re

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
    facts = splits.certificate(
        [tmp_path / f"{name}.parquet" for name in parts], parts, taxonomy=TAXONOMY, facts={"seed": 0}
    )
    splits.write_certificate(tmp_path, facts)
    read = json.loads((tmp_path / "split_certificate.json").read_text())
    assert read["rows"] == {name: len(part) for name, part in parts.items()}
    assert all(number == 0 for counts in read["overlaps"].values() for number in counts.values())
    assert len(read["tags"]) == 200
    leak = {**parts, "test": pd.concat([parts["test"], parts["train"][:1]])}
    with pytest.raises(ValueError, match="expected splits that share nothing"):
        splits.certificate([], leak, taxonomy=TAXONOMY, facts={})


def test_near_duplicates_do_not_mind_case_and_punctuation():
    texts = ["A calm tune for harp and flute.", "a calm tune, for harp and flute", "A loud march for brass."]
    assert splits.near_duplicates(texts).tolist() == [[0, 1]]
    assert splits.near_duplicates(["one"]).shape == (0, 2)


# --- guards, on rows in which what they guard against occurs ----------------------------------------------------------

ALIKE = ["tags", "faithful_tags", "caption", "faithful_caption"]


def couples(alike: str, count: int) -> pd.DataFrame:
    """Couples of rows that are alike in one column, equal in tags or nearly so in words, and else like no other row."""

    def words(key: str) -> str:
        return " ".join(f"{key}n{place}" for place in range(12))

    def coded(number: int, first: int) -> list[str]:
        return [TAXONOMY.tags[first + number % 10], TAXONOMY.tags[first + 10 + number // 10]]

    rows = []
    for number in range(2 * count):
        couple, side = divmod(number, 2)
        own = f"{couple}x{side}"
        row: dict[str, object] = {"id": own, "tags": coded(number, 0), "faithful_tags": coded(number, 20)}
        row |= {"caption": words(own), "faithful_caption": words(f"f{own}")}
        row[alike] = coded(couple, 40) if "tags" in alike else words(f"s{couple}") + " indeed" * side
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("alike", ALIKE)
def test_rows_that_are_alike_in_anything_that_is_used_share_a_split(alike):
    homes = pd.concat(part.assign(home=name) for name, part in split(couples(alike, 40)).items())
    assert (homes.groupby(homes["id"].str.split("x").str[0])["home"].nunique() == 1).all()
    assert homes["home"].nunique() == 3


@pytest.mark.parametrize("alike", ALIKE)
def test_the_certificate_counts_couples_that_are_torn(alike):
    rows = couples(alike, 5)
    sides = rows["id"].str[-1]
    torn = {"train": rows[sides == "0"], "validation": rows[:0], "test": rows[sides == "1"]}
    name = alike if "tags" in alike else f"near_duplicates_of_{alike}"
    with pytest.raises(ValueError, match=f"'train/test': .*'{name}': 5") as error:
        splits.certificate([], torn, taxonomy=TAXONOMY, facts={})
    assert sum(map(int, re.findall(r": (\d+)", str(error.value)))) == 5, "and nothing else"


def test_empty_faithful_captions_and_sets_are_like_no_other():
    rows = couples("caption", 20)
    rows["faithful_caption"], rows["faithful_tags"] = "", [[] for _ in range(len(rows))]
    assert len(set(splits.group_rows(rows))) == 20
    parts = split(rows)
    splits.certificate([], parts, taxonomy=TAXONOMY, facts={})


# --- samples ----------------------------------------------------------------------------------------------------------


def sampled(count: int = 400) -> np.ndarray:
    """Distinct tag sets of five tags, every second one a neighbour of the one before: one tag is added."""
    generator = np.random.default_rng(0)
    rows = np.zeros((count, 200), dtype=bool)
    for place in range(0, count, 2):
        rows[place, generator.choice(60, 5, replace=False)] = True
        rows[place + 1] = rows[place]
        rows[place + 1, 100 + generator.integers(10)] = True
    return rows


def test_near_equal_samples_share_a_split_and_parts_have_their_shares():
    rows = sampled()
    part = np.array(splits.split_samples(rows))
    assert (part[::2] == part[1::2]).all(), "five of six tags are the same"
    shares = [(part == name).mean() for name in splits.SPLITS]
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.04)
    frequent = rows.sum(0) >= 30
    train = rows[part == "train"].sum(0)[frequent] / rows.sum(0)[frequent]
    assert train.std() < 0.08, "drawn at random, fifteen pairs or so would give .12"


def test_the_split_of_samples_depends_on_the_sets_alone():
    rows, order = sampled(), np.random.default_rng(1).permutation(400)
    assert [splits.split_samples(rows)[place] for place in order] == splits.split_samples(rows[order])


def test_the_certificate_of_samples_counts_near_equal_sets():
    rows = sampled(20)
    frame = pd.DataFrame({"id": map(str, range(20)), "tags": TAXONOMY.decode(rows)})
    splits.certificate([], dict(list(frame.groupby(splits.split_samples(rows)))), taxonomy=TAXONOMY, facts={})
    torn = {"train": frame[::2], "test": frame[1::2]}
    with pytest.raises(ValueError, match="'near_equal_tags': 10"):
        splits.certificate([], torn, taxonomy=TAXONOMY, facts={})
