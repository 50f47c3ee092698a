"""Rows of a dataset traced to what made them, and made again."""

import json
import tempfile

import pandas as pd
import pytest

from conceptcaps import tracking
from tests import stages

pytestmark = pytest.mark.slow


@pytest.fixture
def temporary(store, monkeypatch):
    """The temporary folder of this process and of those that it starts."""
    folder = store / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_rows_are_traced_and_made_again_byte_for_byte(store, temporary, capsys):
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
    assert not [path for path in temporary.rglob("*") if path.is_file()], "no stage leaves a file behind"


def test_one_row_is_a_dataset_too(store):
    runs = stages.rows(store, count=1)
    (number,) = [tracking.metrics(runs["build_dataset"])["dataset/rows"]]
    page = stages.run("report", runs=json.dumps(runs))
    assert number == 1 and tracking.metrics(page)["report/rows"] == 1
