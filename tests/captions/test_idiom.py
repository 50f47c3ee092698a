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
        ("It is rounded out by hi-hat.", 3),  # one in the place of several
        ("It is rounded out by rock.", 2),  # "out by <genre>", "by <genre> ."
        ("It borrows from folk and strings.", 4),
        ("A SAD jazz tune led by a piano, at a slow tempo", 1),  # without its end
        ("", 0),
    ],
)
def test_runs_that_were_not_learnt_are_counted(sentence, runs):
    assert Idiom(LEARNT, taxonomy=TAXONOMY).strange(sentence) == runs


def test_words_of_one_kind_in_a_row_are_one():
    idiom = Idiom(["A piano plays."], taxonomy=TAXONOMY)
    assert idiom.strange("A piano violin plays.") == 0 and idiom.strange("A piano and violin plays.") > 0


@pytest.mark.parametrize(
    ("sentence", "words"),
    [("A sad rock tune led by a mermaid.", 1), ("It borrows from a violin.", 0), ("It is hi-hat.", 0), ("", 0)],
)
def test_words_that_the_corpus_does_not_have_are_counted(sentence, words):
    assert Idiom(LEARNT, taxonomy=TAXONOMY).foreign(sentence) == words
