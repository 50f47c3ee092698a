"""The choice among candidates: what is counted against a sentence, and which is kept."""

import pytest

from conceptcaps.captions import choice
from conceptcaps.captions.desk import Answer
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


@pytest.mark.parametrize(
    ("sentence", "fault"),
    [
        ("A slow jazz tune for piano.", None),
        ("A jazz tune for piano.", "missed"),
        ("A slow jazz tune for piano and trumpet.", "invented"),
        ("A slow jazz tune without a trumpet, for piano.", "denied"),
        ("A slow jazz tune for piano that slowly tunes.", "doubled"),
        ("A slow jazz tune for piano with a hi-hat melody.", "role"),
        ("A slow jazz tune for piano that could be played at a party.", "supposed"),
        ("A slow jazz tune for piano with a soft violin.", "elsewhere"),
        ("A slow jazz tune for an piano.", "article"),
        ("A slow jazz tune; the only sound is a piano.", "alone"),
        ("A jazz piano piece at a slow pace and tempo.", "doubled"),
    ],
)
def test_faults_are_seen(sentence, fault):
    found = choice.faults(
        sentence, asked=["slow tempo", "jazz", "piano"], others=["violin"], said="", ended=True, taxonomy=TAXONOMY
    )
    assert {name for name, count in found.items() if count} - {"invented"} == ({fault} if fault else set()) - {
        "invented"
    }
    assert (found["invented"] > 0) == (fault in ("invented", "role")) and (choice.weight(found) == 0) == (fault is None)


def test_the_only_instrument_may_be_said_to_be_it():
    dials = {"asked": ["piano"], "said": "", "ended": True, "taxonomy": TAXONOMY}
    assert choice.faults("The only instrument is a piano.", others=["sad"], **dials)["alone"] == 0
    assert choice.faults("The only instrument is a piano.", others=["flute"], **dials)["alone"] == 1


def test_sentences_that_begin_alike_are_seen():
    dials = {"asked": ["drums"], "others": ["piano"], "ended": True, "taxonomy": TAXONOMY}
    said = "A slow tune. The rhythm comes from a piano."
    assert choice.faults("The rhythm comes from drums.", said=said, **dials)["again"] == 1
    assert choice.faults("Drums keep the rhythm.", said=said, **dials)["again"] == 0


def test_what_was_said_before_weighs_more_than_what_comes_later():
    dials = {"asked": ["drums"], "others": ["piano", "violin"], "ended": True, "taxonomy": TAXONOMY}
    before = choice.faults("Drums and a piano join in.", said="A tune for piano.", **dials)
    later = choice.faults("Drums and a violin join in.", said="A tune for piano.", **dials)
    assert (before["twice"], later["twice"], before["elsewhere"], later["elsewhere"]) == (1, 0, 1, 1)
    assert choice.weight(before) > choice.weight(later) > 0


def test_words_that_tags_share_may_stand_twice():
    dials = {"others": [], "said": "", "ended": True, "taxonomy": TAXONOMY}
    text = "An acoustic guitar answers an electric guitar."
    assert choice.faults(text, asked=["acoustic guitar", "electric guitar"], **dials)["doubled"] == 0
    assert choice.faults(text, asked=["acoustic guitar"], **dials)["doubled"] == 1


def test_the_likeliest_of_those_without_faults_is_kept():
    choose = choice.by_plan([[["jazz"], ["piano"]]], taxonomy=TAXONOMY)
    found = [
        Answer("A jazz tune.", True, -2.0),
        Answer("A jazz song.", True, -1.0),
        Answer("A tune.", True, -0.1),
        Answer("A jazz and", False, -0.1),
    ]
    assert choose(0, 0, "", found) == (1, True)
    assert choose(0, 0, "", found[2:]) == (0, False)
    assert choose(0, 1, "A jazz tune.", [Answer("A jazz tune.", True, 0), Answer("It has a piano.", True, -9)])[0] == 1
