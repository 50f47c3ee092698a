"""The choice among candidates: what is counted against a sentence, and which is kept."""

import pytest

from conceptcaps.captions import choice
from conceptcaps.captions.desk import Answer
from conceptcaps.captions.idiom import Idiom
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
        ("A slow-paced jazz piano piece at a tempo.", "doubled"),
        ("A slow jazz tune for piano, which carries the theme and holds the melody.", "shared"),
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


def counted(sentence: str, **changes) -> dict[str, int]:
    dials = {"asked": ["piano"], "others": [], "said": "", "ended": True, "taxonomy": TAXONOMY, **changes}
    return {name: count for name, count in choice.faults(sentence, **dials).items() if count}


def test_each_fault_is_counted_as_often_as_it_stands():
    asked = ["piano", "violin", "sad"]
    assert counted("A tune for piano.", asked=asked) == {"missed": 2}
    assert counted("A piano plays and", ended=False) == {"cut": 1}
    assert counted("A lone piano.") == {"bare": 1}
    assert counted("A piano, a flute and a cello play.") == {"invented": 2}
    assert counted("A piano, a flute and a cello play.", others=["flute", "cello"]) == {"elsewhere": 2}
    assert counted("A piano plays, no violin and no flute.") == {"denied": 2}
    both = {"asked": ["synth-pop", "synth pad"]}
    assert counted("A synth-pop track with a synth pad.", **both) == {}, "its tags share the word"
    text = "The piano has a slow pace, and its tempo is slow."
    assert counted(text, asked=["piano", "slow tempo"]) == {"doubled": 2}, "a pace told twice, and a word"
    said = "A flute plays with a cello."
    assert counted("A piano, a flute and a cello play.", others=["flute", "cello"], said=said) == {
        "elsewhere": 2,
        "twice": 2,
    }
    assert counted("A piano plays.", said="It is slow. A piano plays.") == {"elsewhere": 1, "again": 1}


def test_what_an_asked_tag_implies_is_its_own():
    changes = {"asked": ["hard rock"], "others": ["rock"], "said": "It is rock."}
    assert counted("Hard rock, a kind of rock.", **changes) == {"doubled": 1}
    assert counted("A kind of rock.", **changes) == {"missed": 1}


def test_beginnings_are_compared_by_three_words_in_any_case():
    dials = {"asked": ["drums"]}
    assert counted("The rhythm IS of drums.", said="THE Rhythm is slow.", **dials) == {"again": 1}
    assert counted("The rhythm has drums.", said="The rhythm is slow.", **dials) == {}


def test_faults_weigh_as_often_as_they_stand_and_a_cut_or_a_denial_most():
    faults = choice.faults("", asked=[], others=[], said="", ended=True, taxonomy=TAXONOMY)
    single = {name: choice.weight({name: 1}) for name in faults}
    assert min(single.values()) > 0 and {name for name in single if single[name] == max(single.values())} == {
        "cut",
        "denied",
    }
    assert choice.weight({"missed": 3, "cut": 1}) == 3 * single["missed"] + single["cut"]


def test_the_only_instrument_may_be_said_to_be_it():
    dials = {"asked": ["piano"], "said": "", "ended": True, "taxonomy": TAXONOMY}
    assert choice.faults("The only instrument is a piano.", others=["sad"], **dials)["alone"] == 0
    assert choice.faults("The only instrument is a piano.", others=["flute"], **dials)["alone"] == 1


def test_sentences_that_begin_alike_are_seen():
    dials = {"asked": ["drums"], "others": ["piano"], "ended": True, "taxonomy": TAXONOMY}
    said = "A slow tune. The rhythm comes from a piano."
    assert choice.faults("The rhythm comes from drums.", said=said, **dials)["again"] == 1
    assert choice.faults("Drums keep the rhythm.", said=said, **dials)["again"] == 0


def test_phrases_that_stood_before_are_seen():
    dials = {"asked": ["flute"], "others": ["piano"], "ended": True, "taxonomy": TAXONOMY}
    said = "A piano plays the hook. The tune is slow."
    assert choice.faults("A flute plays the hook.", said=said, **dials)["again"] == 1
    assert choice.faults("Here the tune is led by a flute.", said=said, **dials)["again"] == 0


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
    choose = choice.by_plan([[["jazz"], ["piano"]]], taxonomy=TAXONOMY, idiom=None)
    found = [
        Answer("A jazz tune.", True, -2.0),
        Answer("A jazz song.", True, -1.0),
        Answer("A tune.", True, -0.1),
        Answer("A jazz and", False, -0.1),
    ]
    assert choose(0, 0, "", found) == (1, True)
    assert choose(0, 0, "", found[2:]) == (0, False)
    plans = [[["jazz"], ["piano"]], [["violin"], ["sad"]]]
    second = choice.by_plan(plans, taxonomy=TAXONOMY, idiom=None)
    texts = ["A jazz tune.", "A sad tune.", "A violin plays.", "A violin plays a sad tune."]
    answers = [Answer(text, True, 0.0) for text in texts]
    assert [second(1, part, "", answers) for part in (0, 1)] == [(2, True), (1, True)]
    assert second(0, 0, "", answers[1:]) == (0, False), "all invent, and the shortest of them least"
    assert choose(0, 1, "A jazz tune.", [Answer("A jazz tune.", True, 0), Answer("It has a piano.", True, -9)])[0] == 1


def test_of_sentences_without_a_fault_the_one_that_is_put_together_as_learnt_ones_is_kept():
    idiom = Idiom.of(["A sad jazz tune led by a piano.", "It leans towards rock.", "It ends."], taxonomy=TAXONOMY)
    choose = choice.by_plan([[["pop"], ["violin"]]], taxonomy=TAXONOMY, idiom=idiom)
    found = [Answer("It leans towards a pop.", True, -1.0), Answer("It leans towards pop.", True, -2.0)]
    assert choose(0, 0, "", found) == (1, True)
    assert choose(0, 0, "", found[:1]) == (0, False), "others are asked for"
    assert choose(0, 0, "", [Answer("It leans towards folk.", True, -0.5), *found])[0] == 2  # faults weigh more
    unknown = [Answer("It leans towards pop mermaids.", True, -0.5), found[1]]
    assert choose(0, 0, "", unknown) == (1, True)
    second = choice.by_plan([[["pop", "violin"]]], taxonomy=TAXONOMY, idiom=idiom)
    full = Answer("It leans towards pop and a violin.", True, -1.0)
    assert second(0, 0, "", [Answer("It.", True, 0.0), full])[0] == 1, (
        "tags that are missed weigh more than strange runs"
    )


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("A flute carries the melody. A harp fills in the harmony.", 0),
        ("A flute carries the melody. A harp takes the tune.", 3),
        ("It is rounded out by a flute. It is rounded out by a harp.", 3),
        ("A harp fills in the harmony. The harmony is left to a flute. A harp holds the chords.", 6),
    ],
)
def test_what_one_part_does_is_not_told_of_two(text, shared):
    assert choice.spoilt(text, asked=["flute", "harp"], taxonomy=TAXONOMY) == shared
