import pytest

from conceptcaps.captions.idiom import Idiom
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
LEARNT = ["A sad jazz tune led by a piano, at a slow tempo.", "It is rounded out by drums. It borrows from folk."]


@pytest.mark.parametrize(
    ("sentence", "runs"),
    [
        ("A happy rock tune led by a violin, at a slow tempo.", 0),  # other tags of the same kinds
        ("It borrows from techno.", 0),
        ("It is rounded out by hi-hats.", 0),
        ("It is rounded out by hi-hat.", 4),  # one in the place of several
        ("It is rounded out by rock.", 3),  # "out by <genre>", "by <genre> .", and its end
        ("It borrows from folk and strings.", 5),
        ("A SAD jazz tune led by a piano, at a slow tempo", 2),  # without its end
        ("", 0),
    ],
)
def test_runs_that_were_not_learnt_are_counted(sentence, runs):
    assert Idiom.of(LEARNT, taxonomy=TAXONOMY).strange(sentence) == runs


def test_words_of_one_kind_in_a_row_are_one():
    idiom = Idiom.of(["A piano plays."], taxonomy=TAXONOMY)
    assert idiom.strange("A piano violin plays.") == 0 and idiom.strange("A piano and violin plays.") > 0


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A sad rock tune led by a mermaid.", 1),
        ("A sad folk-mermaid tune led by a hi-hat.", 1),
        ("It borrows from a violin.", 0),
        ("It is hi-hat.", 0),
        ("", 0),
    ],
)
def test_words_that_the_corpus_does_not_have_are_counted(sentence, words):
    assert Idiom.of(LEARNT, taxonomy=TAXONOMY).foreign(sentence) == words


def test_names_of_several_words_are_one():
    idiom = Idiom.of(["A hard rock tune led by a vocal harmony."], taxonomy=TAXONOMY)
    assert idiom.strange("A jazz tune led by a choir.") == 0
    assert idiom.strange("A jazz tune led by a singer.") == 4, "one who sings is not many who sing"
    assert idiom.strange("A hard jazz tune led by a choir.") > 0


BASS = ["A bass guitar holds the bottom.", "A snare drum snaps, and a bass guitar holds the bottom."] * 60


@pytest.mark.parametrize(
    ("sentence", "ties"),
    [
        ("A bass guitar holds the bottom.", 0),
        ("A snare drum snaps.", 0),
        ("A snare drum holds the bottom.", 2),  # holds, bottom
        ("A bowed bass guitar snaps.", 2),  # bowed before it, snaps
        ("A snare drum bass guitar snaps.", 2),  # an instrument right before it, snaps
    ],
)
def test_what_stands_beside_a_tag_is_tied_to_it(sentence, ties):
    often, seldom = Idiom.of(BASS, taxonomy=TAXONOMY), Idiom.of(BASS[:20], taxonomy=TAXONOMY)
    assert often.strange(sentence) - seldom.strange(sentence) == ties, "of tags that are seldom named no tie is known"


def test_an_idiom_opens_as_it_was_saved(tmp_path):
    idiom = Idiom.of(BASS, taxonomy=TAXONOMY)
    idiom.save(tmp_path / "idiom.json")
    opened = Idiom.load(tmp_path / "idiom.json", taxonomy=TAXONOMY)
    for sentence in ("A bass guitar holds the bottom.", "A snare drum holds a mermaid."):
        assert opened.strange(sentence) == idiom.strange(sentence)
        assert opened.foreign(sentence) == idiom.foreign(sentence)
