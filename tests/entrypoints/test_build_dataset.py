"""Datasets of local folders, which no run has made."""

import pandas as pd
import pyarrow as pa
import pytest

from conceptcaps import tracking
from conceptcaps.publishing import dataset
from conceptcaps.workspace import shards
from tests import stages
from tests.publishing.test_dataset import TAXONOMY, table

COUNT = 12


@pytest.fixture
def folders(store):
    """Tag sets, captions and clips by the name of their parameter; one clip could not be made."""
    captions, clips, _ = table(COUNT)
    for name, frame in {"captions": captions, "audio": pd.concat(clips).astype({"error": object})}.items():
        frame = frame.where(frame.notna(), None)
        schema = pa.Table.from_pandas(frame, preserve_index=False).schema
        dials = {"schema": schema, "shard_size": 50, "settings": {}, "description": name}
        shards.map_shards(lambda part: part, frame, out=str(store / name), **dials)
    (store / "tag_sets").mkdir()
    TAXONOMY.save(store / "tag_sets" / "taxonomy.yaml")
    return {name: str(store / name) for name in ("tag_sets", "captions", "audio")}


def test_a_dataset_of_local_folders_wants_a_licence_before_anything_is_written(folders, monkeypatch):
    monkeypatch.setattr(dataset, "write_rows", None)
    with pytest.raises(
        ValueError, match=r"got base_model of captioner unknown, corpus unknown, audio unknown; say which"
    ):
        stages.run("build_dataset", **folders)


def test_a_dataset_of_local_folders_is_built_with_a_licence(folders):
    run = stages.run("build_dataset", **folders, license="cc0-1.0")
    card = (tracking.fetch(f"runs:/{run}/dataset") / "README.md").read_text()
    assert "`cc0-1.0`, as its publisher states" in card and "derived from what went in" not in card
    counts = tracking.metrics(run)
    assert (counts["dataset/rows"], counts["dataset/failed"]) == (COUNT - 1, 1), "rows that were written"
    assert "license: cc0-1.0" in card and "from the corpus `unknown` with the audio backend `unknown`" in " ".join(
        card.split()
    )
