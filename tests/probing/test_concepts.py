import numpy as np
import pandas as pd
import pytest

from conceptcaps.probing import concepts
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def clips(tag_sets, **columns):
    return pd.DataFrame({"present": tag_sets, "group": range(len(tag_sets)), **columns})


def test_a_clip_without_the_tag_but_with_a_relative_is_on_no_side():
    sets = (
        [["electric guitar", "rock"]] * 6 + [["distorted guitar", "rock"]] * 2 + [["guitar", "pop"]] * 5
        + [["piano", "jazz"]] * 20
    )  # fmt: skip
    found = concepts.concept("electric guitar", clips(sets), taxonomy=TAXONOMY)
    assert (found.label[:8] == 1).all()  # a distorted guitar is an electric one
    assert np.isnan(found.label[8:13]).all()  # `guitar` may be one too
    assert (found.label[13:] == 0).all()
    assert not set(found.tags) & {"guitar", "electric guitar", "distorted guitar"} and "piano" in found.tags


def test_what_is_known_to_be_absent_decides_where_it_is_known():
    sets = [["piano"]] * 6 + [["guitar"]] * 6 + [["flute"]] * 6
    absent = [["flute"]] * 6 + [["piano"]] * 6 + [["guitar"]] * 6
    found = concepts.concept("piano", clips(sets, absent=absent), taxonomy=TAXONOMY)
    assert (found.label[:6] == 1).all() and (found.label[6:12] == 0).all() and np.isnan(found.label[12:]).all()


def test_clips_of_which_nothing_is_known_lack_what_was_not_asked_for():
    """As of a model whose music nobody knows: its empty ``absent`` says nothing."""
    sets = [["piano"]] * 6 + [["guitar"]] * 6
    columns = {"absent": [[]] * 12, "known": [False] * 12}
    found = concepts.concept("piano", clips(sets, **columns), taxonomy=TAXONOMY)
    assert (found.label[:6] == 1).all() and (found.label[6:] == 0).all()


@pytest.mark.parametrize(
    ("tag", "must_change"), [("drums", "no percussion"), ("slow tempo", "fast tempo"), ("piano", "keyboard")]
)
def test_what_must_change_with_a_concept_is_not_held_fixed(tag, must_change):
    sets = [[tag], [must_change]] * 6
    made = clips(sets, concept=[tag] * 12, positive=[True, False] * 6)
    made["group"] = np.arange(12) // 2
    found = concepts.concept(tag, made, taxonomy=TAXONOMY)
    assert must_change not in found.tags
    contrast = found.contrast(sets=2, resamples=2, seed=0)
    assert contrast.identifiable and contrast.explained == pytest.approx(0)
    shuffled = found.contrast(sets=2, resamples=2, seed=0, permuted=True)
    assert shuffled.information == pytest.approx(contrast.information), "permuted inside of pairs, as the test is"


def test_one_tag_against_another():
    sets = [["slow tempo"]] * 6 + [["fast tempo"]] * 7 + [["medium tempo"]] * 8
    found = concepts.concept("slow tempo|fast tempo", clips(sets), taxonomy=TAXONOMY)
    assert (found.label[:6] == 1).all() and (found.label[6:13] == 0).all() and np.isnan(found.label[13:]).all()


def test_clips_made_for_a_concept_are_its_sides():
    sets = [["piano"]] * 6 + [["flute"]] * 6 + [["piano", "flute"]] * 10
    made = clips(
        sets, concept=["piano"] * 12 + ["flute"] * 10, positive=[True] * 6 + [False] * 6 + [True] * 5 + [False] * 5
    )
    found = concepts.concept("piano", made, taxonomy=TAXONOMY)
    assert (found.label[:6] == 1).all() and (found.label[6:12] == 0).all() and np.isnan(found.label[12:]).all()
    assert concepts.frequent(made, taxonomy=TAXONOMY, most=8) == ["piano", "flute"], "most clips first"
    pairs = clips([["piano"], []] * 6, tag=["piano"] * 12, side=["with", "without"] * 6, pair_id=np.arange(12) // 2)
    assert concepts.concept("piano", pairs, taxonomy=TAXONOMY).label.tolist() == [1, 0] * 6


def test_names_go_through_the_matcher_and_stand_once():
    assert concepts.names("Piano, slow|fast tempo , synths", taxonomy=TAXONOMY) == [
        "piano", "slow tempo|fast tempo", "synthesizer",
    ]  # fmt: skip
    for text, message in (
        ("piano,grand piano", "expected each of the concepts once, got 'piano' again"),
        ("vuvuzela", "expected a concept that stands for one tag, got 'vuvuzela': none"),
        ("slow|slow tempo", "expected one tag, or two different ones"),
    ):
        with pytest.raises(ValueError, match=message):
            concepts.names(text, taxonomy=TAXONOMY)


def test_draws_are_matched_in_the_other_tags_and_have_no_clip_twice():
    sets = [["piano", "jazz"]] * 10 + [["flute", "jazz"]] * 20 + [["flute", "metal"]] * 40
    found = concepts.concept("piano", clips(sets), taxonomy=TAXONOMY)
    drawn = found.draws(5, seed=0)
    for positives, negatives in drawn:
        assert len(set(negatives)) == len(negatives) == len(positives) == 10
        assert (negatives < 30).mean() > 0.85  # nearly all of them jazz
    assert any(set(one[1]) != set(other[1]) for one, other in zip(drawn, found.draws(5, seed=1), strict=True))
    assert all((one[1] == other[1]).all() for one, other in zip(drawn, found.draws(5, seed=0), strict=True))


def test_frequent_concepts_are_no_genres_and_can_be_told_from_the_other_tags():
    generator = np.random.default_rng(0)
    sets = [
        [tag for tag in ("piano", "flute", "harp") if generator.random() < 0.4] + ["jazz"] * (generator.random() < 0.5)
        for _ in range(80)
    ]
    for tags in sets:
        tags += ["tambourine", "shaker"] * (generator.random() < 0.5)  # always together: neither can be told
    found = concepts.frequent(clips(sets), taxonomy=TAXONOMY, most=8)
    assert set(found) >= {"piano", "harp"} and not set(found) & {"jazz", "tambourine", "shaker"}
    assert len(concepts.frequent(clips(sets), taxonomy=TAXONOMY, most=1)) == 1
    with pytest.raises(ValueError, match="expected a tag with enough clips with and without it, got 4 clips"):
        concepts.frequent(clips(sets[:4]), taxonomy=TAXONOMY, most=8)


def test_too_few_clips_are_refused():
    with pytest.raises(ValueError, match="expected 5 clips or more with 'viola' and 5 that surely lack it, got 0"):
        concepts.concept("viola", clips([["piano"]] * 9), taxonomy=TAXONOMY)


def test_no_number_of_clips_makes_a_matrix_of_clips_by_clips():
    """Thirty thousand clips fit: a dense matrix of their similarities would take seven gigabytes."""
    generator = np.random.default_rng(0)
    label = (generator.random(30_000) < 0.3).astype(float)
    others = generator.random((30_000, 20)) < 0.2
    made = concepts.Concept("c", label, others, tuple(map(str, range(20))), np.arange(30_000))
    positives, negatives = made.draws(1, seed=0)[0]
    assert len(positives) == len(negatives) == 100
    assert made.contrast(sets=2, resamples=2, seed=0).information > 20_000
