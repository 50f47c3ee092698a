import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml

from conceptcaps.captions import caption_corpus, caption_grammar, casting, planning, readability
from conceptcaps.captions.english import indefinite, inflect
from conceptcaps.tags.phrases import sentences
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
TABLE = yaml.safe_load(casting.TABLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def builtin():
    return caption_corpus.load("builtin", taxonomy=TAXONOMY, seed=0)


def phrases():
    """Every phrase of the table in a sentence of its own, with the one tag that it may assert."""
    for tag, sound in TABLE["sounds"].items():
        names = [name.removeprefix("~") for name in sound["as"]]
        yield from ((tag, f"There is {name}.") for name in names)
        for role in set(sound) & set(casting.ROLES):
            for verbs in sound[role]:
                yield tag, f"{names[0]} {inflect(verbs, plural=False)}."
                yield tag, f"{names[0]} {inflect(verbs, plural=True)}."
                yield tag, f"With {names[0]} {inflect(verbs, plural=True, participle=True)}."
    for tag, mood in TABLE["moods"].items():
        yield from ((tag, f"It sounds {word}.") for word in mood["adj"])
        yield from ((tag, f"This {word} piece.") for word in mood["adj"] + mood.get("attr", []))
        yield from ((tag, f"A sense of {word}.") for word in mood.get("noun", []))
    for tag, tempo in TABLE["tempi"].items():
        yield from ((tag, f"This {word} piece.") for word in tempo["adj"])
        yield from ((tag, f"The tempo is {word}.") for word in tempo["pace"])
        yield from ((tag, f"It moves at {phrase}.") for phrase in tempo["np"])
    for tag, rhythm in TABLE["rhythms"].items():
        yield from ((tag, f"It has {phrase}.") for phrase in rhythm["np"])
        yield from ((tag, f"This {word} piece.") for word in rhythm.get("adj", []))
        yield from ((tag, sentence) for sentence in rhythm["says"])
    yield from ((tag, f"This is a {noun}.") for tag, genre in TABLE["genres"].items() for noun in genre["nouns"])
    yield from ((tag, f"It draws on {style}.") for tag, genre in TABLE["genres"].items() for style in genre["style"])
    yield from ((tag, sentence) for tag, told in TABLE["says"].items() for sentence in told)


def test_each_phrase_says_its_tag_and_no_other():
    wrong = {text: TAXONOMY.find(text) for tag, text in phrases() if TAXONOMY.find(text) != [tag]}
    assert not wrong
    assert not [text for texts in TABLE["how"].values() for text in texts if TAXONOMY.find(f"It plays {text}.")]


def test_every_tag_is_said_often_and_in_several_ways(builtin):
    said = Counter(tag for tags in builtin.rows["tags"] for tag in tags)
    assert len(builtin.rows) == 2000 <= builtin.left_out["read"] and set(said) == set(TAXONOMY.tags)
    assert min(said.values()) >= 10
    wordings = Counter(tag for tag, _ in {(tag, indefinite(text)) for tag, text in phrases()})
    assert min(wordings[tag] for tag in TAXONOMY.tags) >= 3, wordings.most_common()[-9:]


def test_no_two_captions_are_alike_and_all_are_faithful(builtin):
    rows = builtin.rows
    assert rows["caption"].is_unique and rows["id"].is_unique
    for caption, tags in zip(rows["caption"], rows["tags"], strict=True):
        assert tags == TAXONOMY.find(caption) and not TAXONOMY.contradictions(tags)
        assert not readability.doubled_words(caption) and not caption_corpus.denied(caption, taxonomy=TAXONOMY)
    shared = [set(map(tuple, part["tags"])) for _, part in rows.groupby("split")]
    assert len(shared) == 3 and not shared[0] & shared[1] and not shared[1] & shared[2] and not shared[0] & shared[2]
    assert (
        sum(count for reason, count in builtin.left_out.items() if reason != "read") + 2000 >= builtin.left_out["read"]
    )


def test_the_shapes_of_sets_are_those_of_corpora(builtin):
    """MusicCaps: 27 % of sets have two genres or more, 60 % two moods or more, 30 % ten tags or more."""
    plans = [planning.outline(text, taxonomy=TAXONOMY)[1] for text in builtin.rows["caption"][:400]]
    assert max(len(sentence) for plan in plans for sentence in plan) <= planning.MOST_TAGS + 1
    said = [[tag for sentence in plan for tag in sentence] for plan in plans]
    of = {name: [sum(TAXONOMY.category(tag) == name for tag in tags) for tags in said] for name in ("genre", "mood")}
    assert np.mean(np.array(of["genre"]) >= 2) > 0.25 and np.mean(np.array(of["mood"]) >= 2) > 0.4
    assert np.mean([len(tags) >= 8 for tags in said]) > 0.4


def test_captions_are_written_for_given_sets():
    grammar = caption_grammar.Grammar(np.random.default_rng(0))
    asked = ["jazz", "funk", "soul", "piano", "trumpet", "double bass", "drums", "calm", "dark", "slow tempo"]
    said = [TAXONOMY.find(grammar.caption(asked)) for _ in range(20)]
    assert all(set(tags) <= set(asked) for tags in said) and np.mean([len(tags) for tags in said]) > 8.5


def test_captions_for_another_taxonomy_say_its_names(monkeypatch):
    monkeypatch.setattr(caption_corpus, "BUILTIN_COUNT", 60)
    names = {"e-bass": "instrument", "male vocal": "instrument", "digital drums": "instrument", "jazz": "genre"}
    names |= {"calming": "mood", "slower tempo": "tempo", "no voices": "instrument"}
    other = Taxonomy({"tags": [{"name": name, "category": category} for name, category in names.items()]})
    asked = [name for name in names if name != "no voices"]
    rows = caption_corpus.load("builtin", taxonomy=other, seed=0, tag_sets=[asked]).rows
    said = Counter(tag for tags in rows["tags"] for tag in tags)
    assert all(said[name] >= 10 for name in asked), said
    assert any(re.search(r"\ban e-bass\b", text, re.IGNORECASE) for text in rows["caption"])


def test_each_sentence_says_what_the_piece_is_or_what_something_does(builtin):
    every = [sentence for text in builtin.rows["caption"] for sentence in sentences(text)]
    assert not [sentence for sentence in every if casting.bare(sentence)]
    assert casting.bare("A slow-moving flute.") and casting.bare("A snare drum and a guitar solo.")


def test_what_is_plain_stands_often(builtin):
    """Of words for one thing the first of the table is the commonest: a text that few captions can teach."""
    text = " ".join(builtin.rows["caption"]).lower()
    for sound in ("guitar", "piano", "violin", "snare drum"):
        first, *others = TABLE["sounds"][sound]["as"]
        assert text.count(first) > max(text.count(other) for other in others)


def test_english_of_a_sentence(builtin):
    for caption in builtin.rows["caption"]:
        assert caption[0].isupper() or (caption[0].isdigit() and caption.endswith("."))
        assert indefinite(caption) == caption and "  " not in caption and " ," not in caption and "{" not in caption


def test_the_seed_reaches_every_draw(builtin):
    pd.testing.assert_frame_equal(caption_corpus.load("builtin", taxonomy=TAXONOMY, seed=0).rows, builtin.rows)
    other = caption_grammar.Grammar(np.random.default_rng(1)).caption()
    assert other != builtin.rows["caption"].iloc[0]


GOOD = "A slow jazz tune for piano and double bass."


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        (GOOD, ""),
        ("", "empty"),
        ("A slow jazz tune for piano, recorded in mono.", "recording quality"),
        ("A slow jazz tune for piano in a video.", "video"),
        ("A slow jazz tune for piano that could be sad.", "hypothetical"),
        ("A slow jazz tune for piano without a guitar.", "denial"),
        ("A slow jazz tune for piano without vocals or drums.", ""),
        ("A slow jazz tune for a slow piano.", "doubled word"),
        ("A slow jazz song in which a cymbal plays the chords.", "role"),
        ("A jazz tune.", "under 3 tags"),
        (f"{GOOD} {'It goes on and on. ' * 40}", "over 90 words"),
        ("A slow jazz song for piano, moving at a fast tempo.", "contradiction"),
    ],
)
def test_what_is_left_out(caption, reason):
    assert caption_corpus.fault(caption, taxonomy=TAXONOMY) == reason


def test_captions_of_a_table_are_trimmed_and_their_tags_read(tmp_path):
    texts = [
        GOOD,
        f"{GOOD[:-1]} and drums. It could be in a film. The guitar sounds like a badly recorded one.",
        GOOD.upper(),
        "",
        "Nothing.",
    ]
    pd.DataFrame({"aspect_list": "['wrong']", "caption": texts}).to_csv(tmp_path / "captions.csv")
    found = caption_corpus.load(str(tmp_path / "captions.csv"), taxonomy=TAXONOMY, seed=0)
    assert found.rows["caption"].tolist() == [GOOD, "A slow jazz tune for piano and double bass and drums."]
    assert found.rows["tags"][0] == ["double bass", "jazz", "piano", "slow tempo"]
    assert found.left_out == {
        "read": 5, "sentences: hypothetical": 1, "sentences: recording quality": 1, "told before": 1, "empty": 1,
        "under 3 tags": 1,
    }  # fmt: skip
    pd.DataFrame({"prediction": [GOOD]}).to_parquet(tmp_path / "captions.parquet")
    assert caption_corpus.load(str(tmp_path / "captions.parquet"), taxonomy=TAXONOMY, seed=0).rows[
        "caption"
    ].tolist() == [GOOD]


def test_captions_of_tag_sets_keep_their_splits(tmp_path):
    for split in ("train", "validation", "test"):
        rows = {"id": [split, f"{split} 2"], "faithful_caption": [GOOD, ""], "faithful_tags": [["jazz", "piano"], []]}
        pd.DataFrame(rows).to_parquet(tmp_path / f"{split}.parquet")
    found = caption_corpus.load(str(tmp_path), taxonomy=TAXONOMY, seed=0)
    assert found.rows["split"].tolist() == ["train", "validation", "test"] and found.left_out == {"read": 6, "empty": 3}


def test_it_refuses_what_it_cannot_read(tmp_path):
    with pytest.raises(ValueError, match="expected builtin, a folder of tag_sets, .* got 'nowhere.csv'"):
        caption_corpus.load("nowhere.csv", taxonomy=TAXONOMY, seed=0)
    pd.DataFrame({"words": [GOOD]}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match="expected a column caption or prediction in .* got words"):
        caption_corpus.load(str(tmp_path / "other.csv"), taxonomy=TAXONOMY, seed=0)
    with pytest.raises(ValueError, match="expected captions worth learning, got none of 1"):
        caption_corpus.select(["Nothing."], taxonomy=TAXONOMY)


def test_further_captions_are_others_of_the_same_grammar(monkeypatch):
    monkeypatch.setattr(caption_corpus, "FURTHER_COUNT", 40)
    told = caption_corpus.further("builtin", seed=0)
    learnt = caption_corpus.load("builtin", taxonomy=TAXONOMY, seed=0).rows["caption"]
    assert len(set(told)) == 40 and set(told).isdisjoint(learnt)
    assert told == caption_corpus.further("builtin", seed=0) != caption_corpus.further("builtin", seed=1)
    assert caption_corpus.further("captions.csv", seed=0) == [], "of another corpus all there is was read"
