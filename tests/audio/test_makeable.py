"""What the soundfont backend can be asked for."""

import numpy as np

from conceptcaps.audio import makeable
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def test_tags_fight_where_their_rules_leave_nothing_to_each_other():
    pairs = {frozenset(pair) for pair in makeable.fighting(TAXONOMY)}
    assert {frozenset(pair) for pair in (("happy", "sad"), ("ballad", "techno"), ("techno", "no percussion"))} <= pairs
    assert frozenset(("rock", "hard rock")) not in pairs and frozenset(("electronic", "electric guitar")) not in pairs


def test_tags_of_another_taxonomy_fight_as_what_they_mean_does():
    names = ["cheerful", "mournful", "piano"]
    other = Taxonomy({"tags": [{"name": name, "category": "mood"} for name in names]})
    assert makeable.fighting(other) == [("cheerful", "mournful")]


def test_real_rows_are_compared_without_what_cannot_be_made():
    rows = TAXONOMY.encode([["happy", "sad", "piano"], ["happy", "catchy", "piano"], ["jazz", "drums"]])
    given = rows.copy()
    assert TAXONOMY.decode(makeable.restricted(rows, [], TAXONOMY)) == [["happy", "piano"], ["drums", "jazz"]]
    asked = TAXONOMY.decode(makeable.restricted(rows, ["happy", "sad", "-piano"], TAXONOMY))
    assert asked[0] == ["happy", "piano", "sad"] and len(asked) == 3, "pairs that are asked for count among real rows"
    assert np.array_equal(rows, given)
