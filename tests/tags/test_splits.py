import hashlib
import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from conceptcaps.tags import corpus, splits
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import hashing

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


def test_official_split_leaves_out_what_is_like_a_flagged_row_and_divides_the_others_8_to_1():
    rows = couples("caption", 90).assign(tags=[[] for _ in range(180)])
    partners = [f"{couple}x1" for couple in range(9)]
    parts = split(rows.assign(is_eval=rows["id"].isin([f"{couple}x0" for couple in range(9)])), "official")
    assert parts["test"]["id"].tolist() == [f"{couple}x0" for couple in range(9)]
    assert not set(partners) & set(pd.concat(parts.values())["id"])
    assert [len(part) for part in parts.values()] == [144, 18, 9]
    for part in parts.values():
        assert part.index.tolist() == list(range(len(part))) and list(part) == [*rows, "is_eval"]


def test_an_empty_part_is_refused():
    rows = couples("caption", 9)
    with pytest.raises(ValueError, match="expected enough rows for every split, got none for train of 18 rows"):
        split(rows.assign(is_eval=True), "official")
    with pytest.raises(ValueError, match="got none for test of 18 rows"):
        split(rows.assign(is_eval=False), "official")


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


def test_near_duplicates_share_half_of_their_runs_of_three_words():
    """Runs of four and five letters, the ends among them: three are the same, and six there are together."""
    texts = ["a b c d", "a b c d e", "w x y z"]
    assert splits.near_duplicates(texts).tolist() == [[0, 1]]
    assert splits.near_duplicates(texts, threshold=0.51).tolist() == []
    assert splits.near_duplicates(["a b c", "a b c", "a b c d"], threshold=1).tolist() == [[0, 1]]


def test_a_refrain_counts_once():
    refrain = "la " * 30
    assert splits.near_duplicates([f"one {refrain} two three", f"four five {refrain} six"]).tolist() == []
    assert splits.near_duplicates([refrain, refrain + refrain]).tolist() == [[0, 1]]


def test_captions_of_a_word_or_two_are_near_their_like_and_empty_ones_near_none():
    texts = ["", "one", "a waltz", "", "one", "one two", "a waltz"]
    assert sorted(splits.near_duplicates(texts).tolist()) == [[1, 4], [2, 6]]
    assert splits.near_duplicates(["", ""]).shape == (0, 2)


def test_tag_sets_are_near_equal_from_four_fifths_on_in_large_tables_too():
    sets = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=bool)
    assert splits.near_equal(sets).tolist() == [[0, 1]], "three of four are less"
    assert sorted(splits.near_equal(sets, threshold=0.75).tolist()) == [[0, 1], [0, 2]]
    many = np.eye(1200, dtype=bool)
    many[[650, 1100, 1199]] = many[[3, 600, 1150]]
    assert sorted(splits.near_equal(many).tolist()) == [[3, 650], [600, 1100], [1150, 1199]]


# --- stratification ---------------------------------------------------------------------------------------------------


def stratified(labels: np.ndarray, groups: list[int] | None = None, *, shares=(0.5, 0.5), seed: int = 0) -> np.ndarray:
    groups = list(range(len(labels))) if groups is None else groups
    return splits.stratify(labels.astype(bool), np.array(groups), shares=shares, seed=seed)


@pytest.mark.parametrize("seed", range(6))
def test_parts_have_their_shares_of_rows_and_of_every_label(seed):
    labels = np.zeros((40, 3))
    labels[:20, 0], labels[[3, 7], 1], labels[20:30, 2] = 1, 1, 1
    part = stratified(labels, seed=seed)
    assert np.bincount(part).tolist() == [20, 20]
    assert labels[part == 0].sum(0).tolist() == [10, 1, 5], "the rare label is dealt out before the frequent one"
    uneven = stratified(labels, shares=(0.8, 0.1, 0.1), seed=seed)
    assert np.bincount(uneven).tolist() == [32, 4, 4]
    assert labels[uneven == 0].sum(0)[[0, 2]].tolist() == [16, 8]


@pytest.mark.parametrize("seed", range(6))
def test_large_groups_are_placed_first_so_that_small_ones_can_make_up_for_them(seed):
    groups = [0, 1, 2, 3, 4, 5, 5, 5, 5, 5]
    for labels in (np.ones((10, 1)), np.zeros((10, 1))):
        part = stratified(labels, groups, seed=seed)
        assert np.bincount(part).tolist() == [5, 5] and len(set(part[5:])) == 1


@pytest.mark.parametrize("seed", range(6))
def test_where_parts_want_a_label_alike_the_one_that_wants_more_rows_gets_it(seed):
    groups = np.repeat([0, 1, 2], [4, 2, 2])
    labels = np.zeros((8, 3))
    labels[[0, 4, 6], [0, 1, 2]] = 1
    part = stratified(labels, groups.tolist(), seed=seed)
    assert len(set(part[:4])) == 1 and (part[4:] == 1 - part[0]).all()


def test_draws_break_ties():
    parts = {tuple(stratified(np.ones((6, 1)), seed=seed)) for seed in range(12)}
    assert len(parts) > 5 and {part[0] for part in parts} == {0, 1}


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


def test_rows_that_a_third_one_links_are_one_group():
    rows = couples("caption", 3)
    rows.at[2, "tags"] = rows.at[1, "tags"]  # of the second couple a row, of the first one the other
    groups = splits.group_rows(rows).tolist()
    assert groups[0] == groups[1] == groups[2] == groups[3] != groups[4] == groups[5]


def test_the_certificate_states_rows_tags_hashes_and_what_is_shared(tmp_path):
    file = tmp_path / "train.parquet"
    file.write_bytes(b"rows")
    names = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    tags = {"a": ["jazz", "piano"], "b": ["jazz"], "c": ["jazz", "rock"], "d": ["piano", "rock"]}
    parts = {
        name: pd.DataFrame({"id": ids, "tags": [tags[one] for one in ids], "caption": [f"{one} tune" for one in ids]})
        for name, ids in names.items()
    }
    found = splits.certificate([file], parts, taxonomy=TAXONOMY, facts={"seed": 7})
    assert found["seed"] == 7 and found["rows"] == {"train": 2, "validation": 1, "test": 1}
    assert found["sha256"] == {"train": hashlib.sha256(b"rows").hexdigest()}
    nothing = {"ids": 0, "tags": 0, "caption": 0, "near_duplicates_of_caption": 0}
    assert found["overlaps"] == dict.fromkeys(["train/validation", "train/test", "validation/test"], nothing)
    counted = {tag: list(counts.items()) for tag, counts in found["tags"].items() if any(counts.values())}
    assert counted == {
        "jazz": [("train", 2), ("validation", 1), ("test", 0)],
        "piano": [("train", 1), ("validation", 0), ("test", 1)],
        "rock": [("train", 0), ("validation", 1), ("test", 1)],
    }


def test_an_id_in_two_parts_is_refused():
    parts = {"train": couples("caption", 1)[:1], "test": couples("caption", 2)[3:].assign(id="0x0")}
    with pytest.raises(ValueError, match="'train/test': {'ids': 1, 'tags': 0,"):
        splits.certificate([], parts, taxonomy=TAXONOMY, facts={})


def test_a_certificate_is_the_same_text_in_whatever_order_its_facts_come(tmp_path):
    texts = []
    for facts in ({"seed": 0, "corpus": "demo"}, {"corpus": "demo", "seed": 0}):
        splits.write_certificate(tmp_path, facts)
        texts.append((tmp_path / "split_certificate.json").read_text())
    assert texts[0] == texts[1] == '{\n  "corpus": "demo",\n  "seed": 0\n}\n'


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
    assert np.array(splits.split_samples(rows))[order].tolist() == splits.split_samples(rows[order])


def test_the_certificate_of_samples_counts_near_equal_sets():
    rows = sampled(20)
    frame = pd.DataFrame({"id": map(str, range(20)), "tags": TAXONOMY.decode(rows)})
    splits.certificate([], dict(list(frame.groupby(splits.split_samples(rows)))), taxonomy=TAXONOMY, facts={})
    torn = {"train": frame[::2], "test": frame[1::2]}
    with pytest.raises(ValueError, match="'near_equal_tags': 10"):
        splits.certificate([], torn, taxonomy=TAXONOMY, facts={})


def test_samples_are_written_with_their_split_and_its_certificate(tmp_path):
    labels = np.concatenate([sampled(100), TAXONOMY.encode([["hard rock", "piano"]])])
    made = splits.write_samples(tmp_path, labels, taxonomy=TAXONOMY, seed=5, facts={"model": "toy"})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "samples.parquet"), made)
    columns = ["id", "tags", "seed", "implied", "split"]
    assert pq.read_schema(tmp_path / "samples.parquet").names == list(made) == columns
    assert made["id"].iloc[-1] == tag_set_id(["piano", "hard rock"], seed=5) and (made["seed"] == 5).all()
    assert made["tags"].iloc[-1] == ["hard rock", "piano"] and made["implied"].iloc[-1] == ["rock"]
    assert made["split"].tolist() == splits.split_samples(labels)
    stated = json.loads((tmp_path / "split_certificate.json").read_text())
    assert stated["model"] == "toy" and stated["rows"] == made["split"].value_counts()[[*splits.SPLITS]].to_dict()
    assert stated["sha256"] == {"samples": hashing.file_sha256(tmp_path / "samples.parquet")}
    column = TAXONOMY.tags.index("hard rock")
    assert sum(stated["tags"]["hard rock"].values()) == labels[:, column].sum()
