import pytest

from conceptcaps.captions.faithfulness import check
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


@pytest.mark.parametrize(
    ("caption", "tags", "recall", "missed", "hallucinated"),
    [
        ("A jazz tune for piano in a slow tempo.", ["jazz", "piano", "slow tempo"], 1.0, [], []),
        ("A jazz tune.", ["jazz", "piano"], 0.5, ["piano"], []),
        ("A jazz tune with a violin.", ["jazz"], 1.0, [], ["violin"]),
        ("An alternative rock song.", ["rock"], 1.0, [], ["alternative rock"]),
        ("An alternative rock song.", ["alternative rock"], 1.0, [], []),
        ("A jazz tune without piano.", ["jazz", "piano"], 0.5, ["piano"], []),
        ("", ["jazz"], 0.0, ["jazz"], []),
    ],
)
def test_says_what_it_was_asked_and_nothing_else(caption, tags, recall, missed, hallucinated):
    found = check(caption, tags, taxonomy=TAXONOMY)
    assert (found.tag_recall, found.missed, found.hallucinated) == (recall, missed, hallucinated)
    assert found.faults == len(missed) + len(hallucinated)


def test_a_set_without_tags_has_no_recall():
    with pytest.raises(ValueError, match="expected at least one tag"):
        check("A tune.", [], taxonomy=TAXONOMY)
