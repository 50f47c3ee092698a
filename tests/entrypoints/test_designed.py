"""Pairs and designed concept sets as stages: small, with real sound."""

import mlflow
import numpy as np
import pandas as pd
import pytest

from conceptcaps.audio import makeable
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, cache, shards
from entrypoints import design_concepts, make_pairs

TAXONOMY = Taxonomy.load()
SMALL = ["--duration=4", "--shard_size=2", "--seed=1"]


@pytest.fixture(scope="module", autouse=True)
def soundfont():
    return assets.fetch("soundfont")


def test_pairs_have_two_sides_that_differ_in_their_tag(store):
    make_pairs.main(["--tags=violin,hi-hats", "--count=2", f"--out={store / 'pairs'}", *SMALL])
    made = shards.read(str(store / "pairs"))
    assert len(made) == 8 and made["id"].is_unique and made["error"].isna().all()
    for _, pair in made.groupby("pair_id"):
        sides = pair.set_index("side")
        tag = pair["tag"].iloc[0]
        assert tag in sides.loc["with", "present"] and tag in sides.loc["without", "absent"]
        assert pair["soundfont"].nunique() == 1 and pair["split"].nunique() == 1 and pair["seed"].nunique() == 1
        assert sides.loc["with", "audio"]["bytes"] != sides.loc["without", "audio"]["bytes"]
        assert sides.loc["with", "changed"] == sides.loc["without", "changed"]
    metrics = mlflow.search_runs(output_format="list")[0].data.metrics
    assert metrics["pairs/count"] == 4 and metrics["pairs/failed"] == 0
    assert not [tag for tags in made["changed"] for tag in tags if tag.endswith(" tempo")]  # hats may change the groove


def test_designed_sets_are_balanced_and_split(store):
    design_concepts.main(
        ["--tags=violin", "--count=4", "--balance=9", f"--out={store / 'concepts'}", *SMALL]
    )  # fmt: skip
    made = shards.read(str(store / "concepts"))
    assert made.groupby(["positive", "part"]).size().to_dict() == {
        (False, "test"): 1, (False, "train"): 3, (True, "test"): 1, (True, "train"): 3,
    }  # fmt: skip
    for row in made.to_dict("records"):
        assert "violin" in row["present" if row["positive"] else "absent"]


def test_balance_is_that_of_what_is_published(store):
    """Once they are mixed, some parts of these clips are too soft to count."""
    design_concepts.main(
        ["--tags=hi-hats", "--count=4", "--balance=inf", "--tries=2", f"--out={store / 'concepts'}", *SMALL]
    )
    made = shards.read(str(store / "concepts"))
    assert made["error"].isna().all()
    run = mlflow.search_runs(output_format="list")[0].info.run_id
    told = pd.read_parquet(mlflow.artifacts.download_artifacts(f"runs:/{run}/balance.parquet")).set_index("tag")
    for side in (True, False):
        present = made.loc[made["positive"] == side, "present"]
        shares = [np.mean([tag in tags for tags in present]) for tag in told.index]
        assert told["positive" if side else "negative"].tolist() == shares


@pytest.mark.parametrize(
    ("stage", "flags"), [(make_pairs, ["--count=1"]), (design_concepts, ["--count=2", "--balance=inf"])]
)
def test_other_contexts_under_the_same_name_make_new_shards(store, stage, flags):
    (store / "asked").mkdir()

    def folders(*contexts: list[str]) -> int:
        pd.DataFrame({"tags": contexts}).to_parquet(store / "asked" / "tag_sets.parquet")
        stage.main(["--tags=violin", f"--contexts={store / 'asked'}", "--tries=1", *flags, *SMALL])
        return len(list((store / "outputs" / stage.__name__.split(".")[1]).iterdir()))

    known = [[genre, "piano"] for genre in "rock jazz folk blues funk disco techno ambient reggae metal".split()]
    assert folders(*known) == folders(*known) == 1
    assert folders(*known, ["pop", "piano"]) == 2


def test_tags_that_cannot_be_made_are_refused(store):
    with pytest.raises(
        ValueError, match=r"expected tags that the soundfont backend can make true, got \['rap vocals'\]"
    ):
        make_pairs.main(["--tags=violin,rap vocals", f"--out={store / 'pairs'}", *SMALL])


def test_the_table_of_what_can_be_made_is_computed_and_kept(tmp_path, monkeypatch):
    found = makeable.makeable(TAXONOMY)
    assert len(found) >= 170 and set(found) <= set(TAXONOMY.tags)
    assert not {"rap vocals", "spoken word", "catchy", "didgeridoo"} & set(found)
    kept = list((cache.root() / "makeable").glob("*.json"))
    assert kept and makeable.makeable(TAXONOMY) == found
