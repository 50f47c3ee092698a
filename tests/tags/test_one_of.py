import numpy as np
import pytest

from conceptcaps.tags import one_of, vae
from conceptcaps.tags.taxonomy import Taxonomy
from tests.tags.test_vae import fit

TAXONOMY = Taxonomy.load()
DIALS = {"prior": "aggregate", "temperature": 1.0, "min_categories": 1, "seed": 0}


@pytest.fixture(scope="module")
def model() -> vae.BetaVAE:
    return fit(epochs=60)


def test_each_set_holds_exactly_one_of_the_tags_in_equal_shares(model):
    tags = ["piano", "drums", "violin", "strings"]  # a violin is strings, so that it holds both
    found = one_of.sample(model, tags, count=22, condition=["-dark"], **DIALS)
    columns = [TAXONOMY.tags.index(tag) for tag in tags]
    held = [tuple(np.flatnonzero(row)) for row in found.rows[:, columns]]
    assert held[:12] == [(0,)] * 6 + [(1,)] * 6
    assert {row[0] for row in held[12:17]} == {2} and held[17:] == [(3,)] * 5
    assert not found.rows[:, TAXONOMY.tags.index("dark")].any() and not found.reason
    again = one_of.sample(model, tags, count=22, condition=["-dark"], **DIALS)
    assert np.array_equal(found.rows, again.rows)


def test_a_tag_of_which_no_set_is_found_is_named_and_the_others_stay(model):
    found = one_of.sample(model, ["piano", "drums"], count=4, condition=["-piano"], **DIALS)
    assert (
        len(found.rows) == 2 and "piano: expected a condition that does not ask for what it leaves out" in found.reason
    )
    with pytest.raises(ValueError, match="piano: expected a condition"):
        one_of.sample(model, ["piano"], count=4, condition=["-piano"], **DIALS)


@pytest.mark.parametrize(("tags", "message"), [(["Jazz", "jazz"], "different tags"), (["polka metal"], "polka metal")])
def test_wrong_tags_are_refused(tags, message):
    with pytest.raises(ValueError, match=message):
        one_of.conditions(tags, taxonomy=TAXONOMY)
