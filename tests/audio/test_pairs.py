"""Pairs and balance: what is untouched is equal note for note, and chosen sets agree in all other tags."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from conceptcaps.audio import balance, contexts, pairs
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def make(tag: str, *context: str, seed: int = 3) -> pairs.Pair:
    found = pairs.make(tag, context, duration=8, seed=seed, taxonomy=TAXONOMY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("tag", "context"),
    [
        ("violin", ("piano", "acoustic guitar", "happy")),
        ("hi-hats", ("rock", "medium tempo")),
        ("bass", ("jazz", "piano")),
    ],
)
def test_an_instrument_is_taken_out_and_all_other_notes_stay(tag, context):
    pair = make(tag, *context)
    assert pair.means == "stems"
    holding, lacking = (
        {(part.program, part.percussion, *note) for part in side.piece.parts for note in part.notes}
        for side in (pair.holding, pair.lacking)
    )
    assert lacking < holding and pair.holding.piece.tempi == pair.lacking.piece.tempi
    assert tag in pair.holding.truth.present and tag in pair.lacking.truth.absent


@pytest.mark.parametrize("tag", ["fast tempo", "happy", "no percussion", "waltz time"])
def test_other_tags_are_put_in_by_composing_again_with_the_same_seed(tag):
    pair = make(tag, "pop", "piano")
    assert tag in pair.holding.truth.present and tag in pair.lacking.truth.absent
    assert pair.changed == pairs.changed(tag, pair.holding.truth, pair.lacking.truth, TAXONOMY)
    assert not set(pair.changed) & pairs.related(tag, TAXONOMY)


@pytest.mark.parametrize("tag", ["slow tempo", "medium tempo", "fast tempo"])
def test_a_tempo_is_given_to_the_same_notes(tag):
    pair = make(tag, "pop", "piano")
    assert pair.means == "tempo" and pair.holding.piece.parts == pair.lacking.piece.parts
    asked = [tags for tags in pair.lacking.tags if tags.endswith("tempo")]
    assert len(asked) == 1 and asked[0] != tag and asked[0] in pair.lacking.truth.present


def test_what_hangs_together_by_the_rules():
    assert pairs.untied(["no percussion", "rock", "piano", "happy"], "snare drum") == ["piano", "happy"]
    assert pairs.untied(["sparse arrangement", "folk", "jazz"], "violin") == ["jazz"]
    assert pairs.untied(["lullaby", "punk rock", "waltz time"], "fast tempo") == ["punk rock", "waltz time"]


def test_what_a_tag_implies_or_excludes_is_left_out_of_its_context():
    asked = ["rock", "slow tempo", "hard rock", "fast tempo", "piano"]
    assert pairs.fitting(asked, "slow tempo", TAXONOMY) == ["hard rock", "piano", "rock"]
    assert pairs.fitting(asked, "rock", TAXONOMY) == ["fast tempo", "piano"]


@pytest.mark.parametrize("tag", ["happy", "piano", "slow tempo"])
def test_contexts_hold_what_is_possible_and_parts_share_none(tag):
    """What the tag implies or excludes is cut off first: happy and sad in rock are one context of ``happy``."""
    possible = ["rock", "jazz", "piano", "violin", "happy", "sad", "slow tempo", "fast tempo"]
    known = [[*own, genre] for genre in ("rock", "jazz") for own in product(possible[2:4], possible[4:6], possible[6:])]
    known += [[name] for name in possible]
    for source in ([], known):
        drawn = {
            part: {
                tuple(contexts.draw(source, possible, tag=tag, seed=seed, wanted=part, taxonomy=TAXONOMY))
                for seed in range(60)
            }
            for part in ("train", "test")
        }
        assert not drawn["train"] & drawn["test"] and set().union(*map(set, drawn["train"])) <= set(possible)
        assert all(pairs.fitting(each, tag, TAXONOMY) == list(each) for each in drawn["train"] | drawn["test"])
    few, possible = [["rock", "organ"], ["jazz", "piano"]], ["rock", "jazz", "piano"]
    found = contexts.draw(few, possible, tag="violin", seed=0, wanted=None, taxonomy=TAXONOMY)
    assert found in (["rock"], ["jazz", "piano"])


def test_the_dataset_s_test_rows_are_no_contexts(tmp_path):
    """Detectors are trained on clips of contexts, and nothing is trained on ``test``."""
    rows = pd.DataFrame({"tags": [["piano"], ["violin"], ["flute"]], "split": ["train", "test", "validation"]})
    rows.to_parquet(tmp_path / "samples.parquet")
    assert contexts.read(tmp_path) == [["piano"], ["flute"]]
    (tmp_path / "parts").mkdir()
    for name in ("train", "test"):
        pd.DataFrame({"tags": [[name]]}).to_parquet(tmp_path / "parts" / f"{name}.parquet")
    assert contexts.read(tmp_path / "parts") == [["train"]]


def test_a_part_without_contexts_is_named():
    only = [["piano"]]
    other = {"train": "test", "test": "train"}[contexts.part(only[0])]
    with pytest.raises(ValueError, match=f"of violin that belong to {other}, got none in 1000 draws from 1"):
        contexts.draw(only, ["piano"], tag="violin", seed=0, wanted=other, taxonomy=TAXONOMY)


def test_differences_by_hand():
    one, other = np.zeros((100, 3), dtype=bool), np.zeros((100, 3), dtype=bool)
    one[:50, 0] = other[:40, 0] = one[:7, 1] = other[20:27, 1] = True
    one[:, 2] = True
    found = balance.differences(one, other)
    assert found[0] == pytest.approx(0.1 / np.sqrt((0.25 + 0.24) / 2)) and found[1] == 0 and found[2] == np.inf


def test_sets_are_chosen_that_agree_where_the_first_ones_do_not():
    generator = np.random.default_rng(0)
    positive, negative = generator.random((300, 12)) < 0.4, generator.random((300, 12)) < 0.3
    strata = ["train", "train", "test"] * 100
    chosen = balance.choose(positive, negative, strata=(strata, strata), counts={"train": 60, "test": 20})
    assert balance.differences(positive[:80], negative[:80]).max() > 0.2
    assert balance.differences(positive[chosen[0]], negative[chosen[1]]).max() < balance.MOST
    for rows in chosen:
        assert len(set(rows.tolist())) == 80 and sum(strata[row] == "test" for row in rows) == 20
    with pytest.raises(ValueError, match="expected 90 candidates of part test, got 2"):
        balance.choose(positive[:6], negative[:6], strata=(strata[:6], strata[:6]), counts={"train": 1, "test": 90})


def test_what_cannot_be_balanced_is_refused_by_name():
    always = balance.table(np.ones((9, 1), bool), np.zeros((9, 1), bool), concept="jazz", tags=["swing rhythm"])
    with pytest.raises(ValueError, match=r"got more for jazz \(swing rhythm inf\)"):
        balance.balanced(always, most=0.05)
    with pytest.raises(ValueError, match="jazz .swing rhythm inf."):
        balance.balanced(always, most=0.05, leave_out=True)
    even = balance.table(np.eye(2, dtype=bool), np.eye(2, dtype=bool), concept="piano", tags=["fun", "sad"])
    assert balance.balanced(pd.concat([always, even]), most=0.05, leave_out=True) == ["piano"]
    assert "swing rhythm" in balance.report(always)
