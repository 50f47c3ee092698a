import json

import pytest

from conceptcaps.errors import InputError
from conceptcaps.publishing import feasibility
from conceptcaps.workspace import project
from entrypoints.main import command_line

DEMO = vars(command_line().parse_args([]))


def test_the_demo_and_one_row_can_be_done():
    feasibility.require(DEMO, free=2**34)
    feasibility.require(DEMO | {"count": 1, "classifier_count": 1, "concept_count": 1}, free=2**34)


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"count": 0}, "expected count of at least 1, got 0"),
        ({"from_sweeps": 1, "trials": 0}, "expected trials of at least 1 .* got 0: say from_sweeps=0"),
        ({"corpus": "there_is_none.csv"}, "expected corpus to exist, got there_is_none.csv"),
        ({"base_model": "/no/model", "count": 0}, "count of at least 1, got 0; expected base_model to exist"),
        ({"audio_backend": "musicgen"}, "expected audio_model of audio_backend=musicgen, got none"),
        (
            {"corpus": "hers/songs"},
            "a known licence, got corpus hers/songs; say which .* license=<identifier of the Hub>",
        ),
        ({"caption_corpus": "hers/texts"}, "a known licence, got corpus hers/texts"),
        ({"audio_backend": "musicgen", "audio_model": "hers/maker"}, "a known licence, got audio hers/maker"),
        ({"concepts": "piano,zzz"}, "zzz"),
        ({"genres": "jazz,yyy"}, "yyy"),
        ({"quantization": "nf4"}, "the package bitsandbytes for quantization=nf4, got device cpu and bitsandbytes"),
        (
            {"count": 10**6 - 1, "classifier_count": 1, "duration": 30.0},
            r"expected 5364.4 GB free in \S+ for the clips, got 16.0 GB; expected 1788.1 GB free in",
        ),
    ],
)
def test_what_cannot_be_done_is_said_at_once(dials, message):
    with pytest.raises(ValueError, match=message):
        feasibility.require(DEMO | dials, free=2**34)


def test_a_stated_licence_stands_for_a_corpus_that_nobody_listed():
    feasibility.require(DEMO | {"corpus": "hers/songs", "license": "cc-by-4.0"}, free=2**34)


def test_without_a_checkout_no_pipeline_begins(monkeypatch):
    monkeypatch.setattr(project, "commit", lambda: "unknown")
    with pytest.raises(ValueError, match="expected a git checkout, .* got none: git clone"):
        feasibility.require(DEMO, free=2**34)


def test_usual_tags_are_those_that_the_taxonomy_has_in_its_own_words(tmp_path):
    own = {"genre": ["rock", "jazz"], "mood": ["sad"], "instrument": ["trumpets", "piano"], "tempo": ["slow tempo"]}
    (tmp_path / "own.json").write_text(json.dumps(own))
    usual = {"concepts": "piano,violin,trumpet", "genres": "rock,disco"}
    dials = DEMO | usual | {"taxonomy": str(tmp_path / "own.json")}
    with (
        pytest.warns(UserWarning, match=r"own.json has no violin: left out of concepts$"),
        pytest.warns(UserWarning, match=r"own.json has no disco: left out of genres$"),
    ):
        found = feasibility.require(dials, usual=usual, free=2**34)
    assert found == {"concepts": "piano,trumpets", "genres": "rock"}
    more = {name: [*tags, *(["contemporary"] if name == "genre" else [])] for name, tags in own.items()}
    (tmp_path / "more.json").write_text(json.dumps(more))
    strange = dials | {"taxonomy": str(tmp_path / "more.json"), "concepts": "piano,contemporary", "genres": "rock"}
    with (
        pytest.warns(UserWarning, match="1 tags mean nothing to the soundfont: contemporary"),
        pytest.raises(InputError, match=r"expected concepts that the soundfont can play, got contemporary$"),
    ):
        feasibility.require(strange, usual=usual, free=2**34)
    with pytest.raises(InputError, match="expected one of the taxonomy's 6 tags, got 'violin'"):
        feasibility.require(dials, usual={"concepts": "none", "genres": "none"}, free=2**34)
    assert feasibility.require(DEMO, usual=DEMO, free=2**34) == {name: DEMO[name] for name in ("concepts", "genres")}
