"""What is claimed of many pieces, beside what the composer wrote: truth never reads that, so it can be its judge."""

from collections import Counter
from itertools import product

import pytest

from conceptcaps.audio import composition
from conceptcaps.audio.truth import truth
from conceptcaps.audio.truth.ties import opposed
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
BRIGHT, DARK = {"major", "lydian", "mixolydian"}, {"minor", "dorian", "phrygian"}
NEEDS_BRIGHT = set("happy upbeat triumphant festive uplifting youthful playful calm gentle romantic dreamy".split())
NEEDS_DARK = set("sad melancholic dark ominous dramatic intense epic emotional passionate aggressive".split())
TEMPI = {"slow tempo", "moderately slow tempo", "medium tempo", "moderately fast tempo", "fast tempo"}
WHOLE = {"drums", "percussion", "no percussion", "instrumental", "vocals"}
PIECES = {"kick drum", "snare drum", "hi-hats", "cymbals", "toms"}
CONTEXTS = [
    ["harmonica", "vocals"], ["violin", "medium tempo"], ["acoustic guitar", "flute", "whistling", "percussion"],
    ["choir", "crowd noise"], ["rock", "guitar solo"], ["pop", "female vocals", "claps"], ["disco", "funk"],
    ["jazz", "saxophone"], ["classical", "cello", "harp"], ["hip hop", "male vocals"], ["ambient", "bass"],
    ["reggae", "organ"], ["metal"], ["latin music", "trumpet"], ["plucked strings", "tambourine"],
]  # fmt: skip


@pytest.fixture(scope="module")
def pieces():
    tags = [context + mood for context, mood in product(CONTEXTS, ([], ["happy"], ["sad"], ["calm"]))]
    made = [composition.compose(each, duration=8, seed=seed, taxonomy=TAXONOMY) for seed, each in enumerate(tags, 70)]
    return [(piece, truth(piece, duration=8, taxonomy=TAXONOMY)) for piece in made]


def test_no_mood_is_claimed_against_the_mode(pieces):
    claims = Counter()
    for piece, told in pieces:
        wrong = NEEDS_DARK if piece.mode in BRIGHT else NEEDS_BRIGHT if piece.mode in DARK else set()
        claims["all"] += len((NEEDS_BRIGHT | NEEDS_DARK) & set(told.present))
        claims["wrong"] += len(wrong & set(told.present))
    assert claims["all"] > 150 and claims["wrong"] <= 0.01 * claims["all"]


def test_tempo_is_one_class_that_the_score_has(pieces):
    edges = {"slow tempo": (40, 76), "moderately slow tempo": (75, 96), "medium tempo": (95, 116)}
    edges |= {"moderately fast tempo": (115, 136), "fast tempo": (135, 300)}
    for piece, told in pieces:
        (named,) = TEMPI & set(told.present)
        assert TEMPI <= {*told.present, *told.absent} and edges[named][0] <= piece.tempi[0][1] <= edges[named][1]


def test_players_are_told_of_every_clip(pieces):
    """By the notes alone; once a clip is mixed, what stands 15 to 40 LU below the mix is left open."""
    open_ = Counter(tag for _, told in pieces for tag in WHOLE | PIECES if tag not in {*told.present, *told.absent})
    assert not WHOLE & set(open_) and sum(open_.values()) <= 3, open_


@pytest.mark.parametrize(
    "tags",
    [
        ["disco", "synth bass", "synth lead", "electric piano", "moderately fast tempo"],
        ["metal", "drums", "hi-hats", "electric guitar"],
        ["metal", "moderately fast tempo"],
        ["reggae", "medium tempo"],
        ["hip hop", "percussion", "synth pad"],
        ["hip hop", "medium tempo"],
        ["pop", "groovy", "synth lead"],
        ["strings", "disco", "moderately fast tempo"],
        ["synth pad", "hip hop", "medium tempo"],
        ["repetitive pattern", "hip hop", "medium tempo"],
    ],
    ids=" ".join,
)
def test_the_first_tag_is_told_beside_what_else_was_asked_for(tags):
    made = [composition.compose(tags, duration=8, seed=seed, taxonomy=TAXONOMY) for seed in range(20)]
    told = [tags[0] in truth(piece, duration=8, taxonomy=TAXONOMY).present for piece in made]
    assert sum(told) >= 16


def test_hand_drums_alone_do_not_make_country_absent():
    tags = ["country", "acoustic guitar", "hand drums"]
    made = [composition.compose(tags, duration=8, seed=seed, taxonomy=TAXONOMY) for seed in range(20)]
    told = [truth(piece, duration=8, taxonomy=TAXONOMY) for piece in made]
    assert any("country" in one.present for one in told) and not any("country" in one.absent for one in told)


def test_no_clip_holds_tags_that_are_opposed(pieces):
    for _, told in pieces:
        assert not [(tag, other) for tag in told.present for other in opposed(tag) & set(told.present)]
    assert {"sad", "slow tempo"} <= opposed("happy") and "electric guitar" not in opposed("electronic")
