"""Runs and models are of the corpus and taxonomy that they read, and no run mixes two."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from conceptcaps import tracking
from conceptcaps.errors import Refused
from tests import stages, toy_model

EXAMPLE = pd.DataFrame({"x": [1.0]})


def tag_sets(folder: Path, corpus: str) -> Path:
    """As distill_tags writes them, as far as their origin goes."""
    folder.mkdir(parents=True)
    (folder / "taxonomy.yaml").write_text("tags: []")
    facts = {"corpus": corpus, "taxonomy": "builtin", "seed": 0, "sha256": {"train": corpus}}
    (folder / "split_certificate.json").write_text(json.dumps(facts))
    return folder


def distil(store: Path, corpus: str) -> str:
    with tracking.run("distill_tags", {}) as run:
        tracking.log_folder(tag_sets(store / f"{corpus} {run}", corpus), "tag_sets")
    return f"runs:/{run}/tag_sets"


def train(store: Path, uri: str, *, offset: int) -> str:
    """Register a model from tag sets, with two validation rows that the offset is the loss of."""
    with tracking.run("train", {}) as run:
        tracking.fetch(uri)
        tracking.log_frame(pd.DataFrame({"id": ["a", "b"], "val/loss": [offset, offset]}), "per_item.parquet")
        weights = toy_model.save(store / f"weights {run}", offset=offset)
        version = tracking.register("toy", weights, module="tests.toy_model", example=EXAMPLE)
    return f"models:/toy/{version}"


def test_a_model_and_tag_sets_of_two_corpora_are_refused_and_both_named(store):
    demo, musiccaps = distil(store, "demo"), distil(store, "musiccaps.csv")
    model = train(store, demo, offset=1)
    with tracking.run("sample_tags", {}) as run:
        tracking.fetch(model)
        tracking.fetch(demo)
    assert tracking.tags(run)["lineage.of"] == "corpus demo, taxonomy builtin, seed 0"
    with pytest.raises(ValueError, match=r"got models:/toy/1 \(corpus demo, .* and runs:/.* \(corpus musiccaps.csv, "):
        with tracking.run("sample_tags", {}):
            tracking.fetch(model)
            tracking.fetch(musiccaps)


def test_descent_goes_through_runs_and_stops_at_what_has_none(store):
    demo, other = distil(store, "demo"), distil(store, "other")
    with tracking.run("sample_tags", {}) as samples:
        tracking.fetch(demo)
        tracking.log_json({}, "samples.json")
    with tracking.run("write_captions", {}) as captions:
        tracking.fetch(f"runs:/{samples}/samples.json")
        tracking.log_json({}, "captions.json")
    assert tracking.tags(captions)["lineage"] == tracking.tags(samples)["lineage"]
    (store / "recordings").mkdir()
    with tracking.run("verify_concepts", {}):
        tracking.fetch(str(store / "recordings"))
        tracking.fetch(f"runs:/{captions}/captions.json")
        tracking.fetch(other, foreign=True)
        with pytest.raises(ValueError, match="expected everything of one corpus"):
            tracking.fetch(other)


def test_the_same_tag_sets_made_twice_or_copied_are_one_lineage(store):
    first, second = distil(store, "demo"), distil(store, "demo")
    copy = shutil.copytree(tracking.fetch(first), store / "copy")
    with tracking.run("train", {}):
        for uri in (first, second, str(copy)):
            tracking.fetch(uri)


def promote(model: str, **changes: object) -> str:
    return stages.run("promote", model=model, metric="val/loss", **changes)


def test_a_champion_of_another_corpus_stays_unless_it_is_replaced(store, capsys):
    promote(train(store, distil(store, "demo"), offset=3))
    other = train(store, distil(store, "musiccaps.csv"), offset=1)
    with pytest.raises(Refused, match=r"another corpus or taxonomy \(corpus musiccaps.csv.*\) than .* \(corpus demo"):
        promote(other)
    assert tracking.alias_version("toy", "champion") == "1"
    assert tracking.info(tracking.latest("promote"))["status"] == "FINISHED"
    promote(other, replace=1)
    assert tracking.alias_version("toy", "champion") == "2" and tracking.alias_version("toy", "previous") == "1"
    assert "promoted   toy version 2: replaces version 1, as asked; val/loss is 1" in capsys.readouterr().out
    stages.run("rollback", model="toy")
    assert tracking.alias_version("toy", "champion") == "1" and tracking.alias_version("toy", "previous") == "2"


def test_a_refusal_says_its_figures_and_exits_with_three(store):
    demo = distil(store, "demo")
    promote(train(store, demo, offset=1))
    with pytest.raises(
        Exception, match=r"toy version 2 is not promoted, 1 stays champion: gain in val/loss -1 \["
    ) as no:
        promote(train(store, demo, offset=2))
    assert no.value.exit_code == 3


def test_rollback_without_a_previous_champion_is_refused(store):
    promote(train(store, distil(store, "demo"), offset=1))
    with pytest.raises(ValueError, match="alias 'previous', got aliases: candidate, champion"):
        stages.run("rollback", model="toy")
