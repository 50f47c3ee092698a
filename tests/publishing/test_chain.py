import pandas as pd
import pytest

from conceptcaps.publishing import chain, dataset
from tests.publishing.test_dataset import TAXONOMY, table

RUNS = [{"stage": stage, "run": f"run-of-{stage}", "commit": "c0ffee"} for stage in chain.ROW_STAGES]
ORIGIN = {"latent_seed": 3, "vae": "models:/v/2", "captioner": "models:/c/7", "backend": "soundfont", "runs": RUNS}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    captions, clips, verdicts = table(20)
    captions["prompt"] = "ab" * 32
    dataset.write_rows(folder, captions, clips, verdicts, taxonomy=TAXONOMY, seed=0, origin=ORIGIN)
    return folder, captions, pd.concat(clips)


def test_a_row_says_what_made_it(built):
    folder, captions, _ = built
    (row,) = chain.find(folder, ["row-4"])
    assert row["chain"] == ORIGIN | {"prompt": "ab" * 32, "caption_seed": 4, "clip_seed": 4}
    told = "\n".join(chain.describe(row))
    parts = ["row-4", "seed 3", "models:/v/2", "models:/c/7", "abab", "soundfont", "c0ffee", *captions["tags"][4]]
    assert all(part in told for part in parts) and all(run["run"] in told for run in RUNS)
    assert chain.makers([row]) == {run["stage"]: run["run"] for run in RUNS}


def test_rows_made_again_are_compared_part_by_part(built):
    folder, captions, clips = built
    rows = chain.find(folder, ["row-1", "row-0"])
    again = {"samples": captions[["id", "tags"]], "captions": captions, "clips": clips}
    assert chain.compare(rows, **again)[list(chain.MADE)].all(axis=None)
    other = clips.assign(audio=[{"bytes": b"other", "path": path} for path in clips["id"]])
    found = chain.compare(rows, **again | {"clips": other})
    assert found["id"].tolist() == ["row-1", "row-0"] and chain.differences(found) == "row-1 (clip); row-0 (clip)"
    missing = chain.compare(rows, **again | {"samples": captions[["id", "tags"]].drop(index=1), "clips": clips[:1]})
    assert chain.differences(missing) == "row-1 (tags, clip, score)"


def test_it_refuses_what_it_cannot_trace(built, tmp_path):
    folder, captions, clips = built
    with pytest.raises(ValueError, match="expected ids of rows of .*, got nobody"):
        chain.find(folder, ["row-0", "nobody"])
    dataset.write_rows(tmp_path, *table(20), taxonomy=TAXONOMY, seed=0)
    with pytest.raises(ValueError, match="rows whose sample_tags is not known"):
        chain.makers(chain.find(tmp_path, ["row-0"]))
