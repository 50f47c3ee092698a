"""Rows of a dataset traced to what made them, and made again."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from conceptcaps import tracking
from conceptcaps.errors import Failure
from conceptcaps.publishing import dataset
from tests import stages

pytestmark = pytest.mark.slow


def test_rows_are_traced_and_made_again_byte_for_byte(store, capsys):
    runs = stages.rows(store, count=6)
    uri = f"runs:/{runs['build_dataset']}/dataset"
    folder = tracking.fetch(uri)
    ids = sorted(row for path in folder.glob("data/text/*.parquet") for row in pd.read_parquet(path)["id"])[:3]
    capsys.readouterr()
    trace = stages.run("trace", row=",".join(ids), dataset=uri, replay=1)
    told = capsys.readouterr().out
    assert all(part in told for part in [*ids, "models:/conceptcaps-vae/1", "models:/conceptcaps-captioner/1"])
    assert all(runs[stage] in told for stage in ("distill_tags", "sample_tags", "write_captions", "generate_audio"))
    equal = pd.read_parquet(tracking.fetch(f"runs:/{trace}/replay.parquet"))
    assert equal["id"].tolist() == ids and equal.drop(columns="id").all(axis=None)
    again = {name: run for name, run, _ in tracking.children(trace)}
    assert set(again) == {"sample_tags again", "write_captions again", "generate_audio again"}
    assert not set(again.values()) & set(runs.values()), "made again, not reused"

    path = next(path for path in folder.glob("data/audio/*.parquet") if ids[0] in pd.read_parquet(path)["id"].tolist())
    whole, rows = path.read_bytes(), pq.read_table(path)
    changed = [{**row, "midi": b"other"} for row in rows.to_pylist()]
    pq.write_table(type(rows).from_pylist(changed, schema=rows.schema), path)
    with pytest.raises(Failure, match=rf"expected 1 rows made again alike, got others: {ids[0]} \(score\)"):
        stages.run("trace", row=ids[0], dataset=uri, replay=1)
    path.write_bytes(whole)
    dataset.verify(folder)


def test_one_row_is_a_dataset_too(store):
    runs = stages.rows(store, count=1)
    (number,) = [tracking.metrics(runs["build_dataset"])["dataset/rows"]]
    page = stages.run("report", runs=json.dumps(runs))
    assert number == 1 and tracking.metrics(page)["report/rows"] == 1
