"""Tags of another taxonomy, asked of the composer and told by the truth in their own words."""

import pytest

from conceptcaps.audio import composition, makeable
from conceptcaps.audio.truth import truth
from conceptcaps.errors import InputError
from conceptcaps.tags import dialect
from conceptcaps.tags.taxonomy import Taxonomy

OTHER = {
    "genre": ["rock music", "contemporary"],
    "mood": ["joyful"],
    "instrument": ["e-guitar", "no voices", "male vocal", "groovy bass line", "trumpets"],
    "tempo": ["slower tempo", "uptempo"],
}
TAXONOMY = Taxonomy({"tags": [{"name": name, "category": key} for key, names in OTHER.items() for name in names]})


def test_names_mean_what_the_matcher_makes_of_them():
    found = dialect.meanings(TAXONOMY)
    assert found["rock music"] == ("rock",) and found["groovy bass line"] == ("bass", "groovy")
    assert dialect.meaningless(TAXONOMY) == ["contemporary"]
    assert dialect.meanings(Taxonomy.load()) is None and dialect.meaningless(Taxonomy.load()) == []
    fewer = Taxonomy({"tags": [{"name": name, "category": "instrument"} for name in ("piano", "flute")]})
    assert dialect.meanings(fewer) == {"piano": ("piano",), "flute": ("flute",)}


@pytest.mark.parametrize("seed", range(3))
def test_a_piece_plays_them_and_its_truth_tells_them(seed):
    dials = {"duration": 10.0, "taxonomy": TAXONOMY}
    piece = composition.compose(["e-guitar", "trumpets", "slower tempo", "no voices"], seed=seed, **dials)
    programs = {part.program for part in piece.parts if not part.percussion}
    assert programs & {26, 27, 28, 29, 30} and programs & {56, 59} and piece.seconds([1.0])[0] > 0.6
    found = truth(piece, **dials)
    assert {"e-guitar", "trumpets", "slower tempo", "no voices"} <= set(found.present) <= set(TAXONOMY.tags)
    assert {"uptempo", "male vocal"} <= set(found.absent) and "contemporary" not in {*found.present, *found.absent}


def test_what_can_be_made_leaves_out_what_means_nothing():
    found = makeable.makeable(TAXONOMY)
    assert set(found) == set(TAXONOMY.tags) - {"contemporary"}


def test_of_meanings_that_contradict_each_other_the_first_one_is_played():
    assert dialect.translated(["no voices", "male vocal"], TAXONOMY)[0] == ["instrumental"]
    assert dialect.translated(["male vocal", "no voices"], TAXONOMY)[0] == ["male vocals"]
    with pytest.raises(InputError, match="expected tags that mean something to the composer, got ..contemporary"):
        composition.compose(["contemporary"], duration=4.0, seed=0, taxonomy=TAXONOMY)
