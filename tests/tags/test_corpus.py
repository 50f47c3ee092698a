import numpy as np
import pandas as pd
import pytest

from conceptcaps.tags import corpus, corpus_table
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def csv(tmp_path, rows: list[tuple[str, str, str]], columns: str = "ytid,aspect_list,caption"):
    frame = pd.DataFrame(rows, columns=columns.split(","))
    frame.to_csv(tmp_path / "corpus.csv", index=False)
    return str(tmp_path / "corpus.csv")


def test_reads_musiccaps_columns(tmp_path):
    path = csv(tmp_path, [("a", "['jazz', ' slow tempo ']", "A tune."), ("b", "[]", "Another.")])
    rows = corpus.load_corpus(path)
    assert rows["aspects"].tolist() == [["jazz", "slow tempo"], []]
    assert rows["is_eval"].tolist() == [False, False]


def test_lists_are_taken_as_they_are_and_no_caption_is_an_empty_one():
    aspects = [np.array(["piano", "slow tempo"]), ["jazz", " harp"]]
    rows = pd.DataFrame({"ytid": ["a", "b"], "aspect_list": aspects, "caption": ["A tune.", None]})
    read = corpus_table.parse_rows(rows, source="hub", columns=corpus_table.AUTO)
    assert read["aspects"].tolist() == [["piano", "slow tempo"], ["jazz", "harp"]]
    assert read["caption"].tolist() == ["A tune.", ""]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a", "tune")], "ytid,caption", "expected column aspect_list .* got columns ytid, caption"),
        ([], "ytid,aspect_list,caption", "expected at least one row .* got none"),
        ([("a", "[]", "x"), ("b", "[broken", "y")], "ytid,aspect_list,caption", r"row 2 \(ytid b\) .* got '\[broken'"),
        ([("a", "{'x': 1}", "x")], "ytid,aspect_list,caption", "expected a list of strings as aspect_list in row 1"),
        ([("a", "[]", "x"), ("a", "[]", "y")], "ytid,aspect_list,caption", "expected each ytid once .* got a again"),
    ],
)
def test_names_what_is_wrong_with_a_file(tmp_path, rows, columns, message):
    with pytest.raises(ValueError, match=message):
        corpus.load_corpus(csv(tmp_path, rows, columns))


CORPORA = {
    "lp_musiccaps": (
        {"track_id": [3, 4], "tag": [["jazz", "slow tempo"], ["rock"]], "caption_writing": ["A tune.", "A song."]},
        {},
        (["3", "4"], ["A tune.", "A song."], [["jazz", "slow tempo"], ["rock"]]),
    ),
    "musicbench": (
        {"location": ["a.wav", "b.wav"], "main_caption": ["A jazz tune.", None], "tempo": [90, 120]},
        {"aspects": "none"},
        (["a.wav", "b.wav"], ["A jazz tune.", ""], [["jazz"], []]),
    ),
    "mtg_jamendo": (
        {"path": ["1.mp3", "2.mp3"], "tags": ["genre---jazz\tmood/theme---happy", ""], "said": ["One.", "Two."]},
        {"caption": "said"},
        (["1.mp3", "2.mp3"], ["One.", "Two."], [["jazz", "happy"], []]),
    ),
    "without_ids": ({"text": ["One."], "aspects": ["['jazz']"]}, {}, (["1"], ["One."], [["jazz"]])),
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", CORPORA)
def test_reads_the_columns_of_other_corpora(tmp_path, name, suffix):
    columns, dials, (ids, captions, aspects) = CORPORA[name]
    path = tmp_path / f"corpus.{suffix}"
    frame = pd.DataFrame(columns)
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    rows = corpus.load_corpus(str(path), columns={**corpus_table.AUTO, **dials})
    assert (rows["row_id"].tolist(), rows["caption"].tolist(), rows["aspects"].tolist()) == (ids, captions, aspects)


@pytest.mark.parametrize(
    ("columns", "dials", "message"),
    [
        (["path", "tags"], {}, "expected column caption or .*prediction in .*, got columns path, tags; caption_column"),
        (["caption"], {}, "expected column aspect_list or .*got columns caption; aspect_column names another, or none"),
        (["caption", "tags"], {"id": "key"}, "expected column key in .*, got columns caption, tags; id_column"),
    ],
)
def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path, columns, dials, message):
    path = csv(tmp_path, [("x",) * len(columns)], ",".join(columns))
    with pytest.raises(ValueError, match=message):
        corpus.load_corpus(path, columns={**corpus_table.AUTO, **dials})


@pytest.mark.parametrize("name", ["corpus.csv", "corpus.parquet"])
def test_a_file_of_another_kind_is_no_corpus(tmp_path, name):
    (tmp_path / name).write_bytes("ytid,caption\na,café\n".encode("latin-1"))
    with pytest.raises(ValueError, match="expected a CSV file in UTF-8, or a Parquet file, in .*, got: "):
        corpus.load_corpus(str(tmp_path / name))


def test_a_corpus_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="expected demo, a CSV file or .*, got 'nothing.csv'"):
        corpus.load_corpus("nothing.csv")


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("The low quality recording features a harp.", "The recording features a harp."),
        ("A harp plays. The recording is noisy and in mono.", "A harp plays."),
        ("A harp plays a waltz.", "A harp plays a waltz."),
    ],
)
def test_remarks_on_the_recording_go(caption, cleaned):
    assert corpus.clean_caption(caption) == cleaned


def test_contradictions_are_resolved_by_what_the_caption_says():
    both = ["fast tempo", "slow tempo", "piano"]
    said = corpus.resolve_contradictions(both, caption="A slow tempo piece.", taxonomy=TAXONOMY)
    unsaid = corpus.resolve_contradictions(both, caption="A piece.", taxonomy=TAXONOMY)
    assert (said, unsaid) == (["piano", "slow tempo"], ["piano"])
    assert corpus.resolve_contradictions(["instrumental", "male vocals"], caption="", taxonomy=TAXONOMY) == [
        "male vocals"
    ]


def test_faithful_captions_say_their_tags_and_nothing_else():
    text, tags, changes = corpus.faithful_caption(
        "A jazz tune for piano. A violin joins in.", ["jazz", "piano", "slow tempo"], taxonomy=TAXONOMY
    )
    assert (text, tags) == ("A jazz tune for piano.", ["jazz", "piano"])
    assert changes == {"dropped": 1, "joined": 0, "unsaid": 1}


@pytest.mark.parametrize("name", ["demo", pytest.param("musiccaps", marks=pytest.mark.slow)])
def test_every_faithful_row_is_faithful(name, request):
    source = "demo" if name == "demo" else str(request.getfixturevalue("musiccaps_csv"))
    rows = corpus.distil(corpus.load_corpus(source), taxonomy=TAXONOMY, min_categories=3).rows
    for text, tags in zip(rows["faithful_caption"], rows["faithful_tags"], strict=True):
        said = set(TAXONOMY.find(text))
        assert set(tags) <= TAXONOMY.closure(said) and said <= TAXONOMY.closure(tags)
        assert not TAXONOMY.contradictions(tags)


def test_demo_is_what_its_table_says():
    distilled = corpus.distil(corpus.load_corpus("demo"), taxonomy=TAXONOMY, min_categories=3)
    assert distilled.metrics["coverage"] > 0.9 and distilled.metrics["kept"] == 1
    assert distilled.rows["id"].is_unique and distilled.rows["caption"].is_unique
    used = {tag for tags in distilled.rows["tags"] for tag in tags}
    assert len(used) >= 150


@pytest.mark.slow
def test_musiccaps_is_covered(musiccaps_csv):
    """The reference covers 31.7 % of aspect occurrences and keeps 34 % of rows."""
    distilled = corpus.distil(corpus.load_corpus(str(musiccaps_csv)), taxonomy=TAXONOMY, min_categories=3)
    assert distilled.metrics["coverage"] >= 0.60
    assert distilled.metrics["kept"] >= 0.70


def test_min_categories_is_a_filter_and_has_a_range():
    rows = corpus.load_corpus("demo")
    kept = [len(corpus.distil(rows, taxonomy=TAXONOMY, min_categories=n).rows) for n in (1, 4)]
    assert kept[0] >= kept[1] > 0
    with pytest.raises(ValueError, match="expected min_categories from 1 to 4, got 5"):
        corpus.distil(rows, taxonomy=TAXONOMY, min_categories=5)
    with pytest.raises(ValueError, match="expected a row with tags of 4 categories, got none in 1 rows"):
        corpus.distil(rows[:1].assign(aspects=[["jazz"]]), taxonomy=TAXONOMY, min_categories=4)
