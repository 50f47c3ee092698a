import pandas as pd
import pytest

from conceptcaps.publishing.evidence import verdicts_by_row, weigh

TRUE = {"asked": ["jazz", "piano"], "present": ["jazz", "piano"], "absent": ["drums"], "verdicts": {}, "said": []}


@pytest.mark.parametrize(
    ("change", "contradictions", "verified"),
    [
        ({}, [], True),
        ({"said": ["jazz", "piano"], "verdicts": {"piano": "present", "drums": "absent"}}, [], True),
        ({"verdicts": {"piano": "uncertain", "drums": "none"}}, [], True),
        ({"asked": ["jazz", "drums"]}, ["unrealised: drums"], False),
        ({"asked": ["jazz", "catchy"]}, [], False),  # a score cannot say whether a tune is catchy
        ({"asked": []}, [], False),
        ({"verdicts": {"piano": "absent"}}, ["unheard: piano"], False),
        ({"verdicts": {"drums": "present"}, "said": ["drums"]}, ["misheard: drums", "missaid: drums"], False),
        ({"said": ["catchy"]}, [], True),
        ({"said": ["catchy"], "verdicts": {"catchy": "absent"}}, ["unheard: catchy"], False),
        ({"said": ["drums"], "verdicts": {"drums": "absent"}}, ["missaid: drums"], False),
        ({"verdicts": {"drums": "present"}}, ["misheard: drums"], True),  # nobody claims drums
        ({"present": ["jazz", "piano", "bass"], "verdicts": {"bass": "absent"}}, ["unheard: bass"], True),
        (
            {"present": ["jazz", "piano", "bass"], "verdicts": {"bass": "absent"}, "said": ["bass"]},
            ["unheard: bass"],
            False,
        ),
    ],
)
def test_witnesses_of_a_row_whose_score_is_known(change, contradictions, verified):
    found = weigh(**{**TRUE, **change})
    assert (found.contradictions, found.verified) == (contradictions, verified)


@pytest.mark.parametrize(
    ("verdicts", "contradictions", "verified"),
    [
        ({"jazz": "present", "piano": "present"}, [], True),
        ({"jazz": "present", "piano": "uncertain"}, [], False),
        ({"jazz": "present", "piano": "absent"}, ["unheard: piano"], False),
        ({}, [], False),
    ],
)
def test_without_a_score_the_ear_has_to_say_it(verdicts, contradictions, verified):
    found = weigh(asked=["jazz", "piano"], present=[], absent=[], verdicts=verdicts, said=[])
    assert (found.contradictions, found.verified) == (contradictions, verified)


def test_without_a_score_the_ear_speaks_against_what_the_caption_adds():
    verdicts = {"piano": "present", "drums": "absent"}
    found = weigh(asked=["piano"], present=[], absent=[], verdicts=verdicts, said=["piano", "drums"])
    assert (found.contradictions, found.verified) == (["unheard: drums"], False)


def test_verdicts_by_row():
    frame = pd.DataFrame({"id": ["a", "b", "a"], "tag": ["x", "x", "y"], "verdict": ["present", "absent", "none"]})
    assert verdicts_by_row(frame) == {"a": {"x": "present", "y": "none"}, "b": {"x": "absent"}}
