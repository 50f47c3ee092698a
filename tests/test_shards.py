import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptcaps import shards

SCHEMA = pa.schema([("id", pa.string()), ("words", pa.list_(pa.string())), ("square", pa.int64())])
ROWS = pd.DataFrame({"id": [f"row-{n}" for n in range(10)], "n": range(10)})


def square(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"id": rows["id"], "words": [[] for _ in rows["n"]], "square": rows["n"] ** 2})


def make(out: Path | str, *, function=square, rows=ROWS, shard_size=4, settings=None) -> dict:
    return shards.map_shards(
        function,
        rows,
        out=str(out),
        schema=SCHEMA,
        shard_size=shard_size,
        settings=settings or {"seed": 0},
        description="squares",
    )


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_result_keeps_order_and_python_lists(tmp_path):
    manifest = make(tmp_path / "out")
    frame = shards.read(str(tmp_path / "out"))
    assert frame["square"].tolist() == [n * n for n in range(10)]
    assert frame["words"].tolist() == [[]] * 10
    assert [shard["rows"] for shard in manifest["shards"]] == [4, 4, 2]
    assert shards.read_manifest(str(tmp_path / "out")) == manifest


def test_shards_keep_the_schema_where_a_list_column_is_empty(tmp_path):
    make(tmp_path / "out")
    assert pq.read_schema(tmp_path / "out" / "part-00000.parquet").equals(SCHEMA)


def test_shard_size_does_not_change_the_rows(tmp_path):
    make(tmp_path / "a", shard_size=3)
    make(tmp_path / "b", shard_size=10)
    pd.testing.assert_frame_equal(shards.read(str(tmp_path / "a")), shards.read(str(tmp_path / "b")))


def test_batches_are_the_rows_in_order_and_only_the_columns(tmp_path):
    make(tmp_path / "out")
    batches = list(shards.batches(str(tmp_path / "out"), columns=["square"], size=3))
    assert [len(batch) for batch in batches] == [3, 1, 3, 1, 2]
    whole = shards.read(str(tmp_path / "out"), columns=["square"])
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), whole)
    assert list(whole) == ["square"]


def test_works_on_any_fsspec_url(tmp_path):
    make("memory://squares")
    make(tmp_path / "out")
    pd.testing.assert_frame_equal(shards.read("memory://squares"), shards.read(str(tmp_path / "out")))


def test_a_failed_map_goes_on_where_it_stopped_with_the_same_bytes(tmp_path):
    make(tmp_path / "whole")
    calls: list[int] = []

    def fails_in_the_third(rows: pd.DataFrame) -> pd.DataFrame:
        calls.append(len(rows))
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return square(rows)

    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "out", function=fails_in_the_third)
    with pytest.raises(ValueError, match=r"finished folder of shards with manifest.json"):
        shards.read(str(tmp_path / "out"))
    make(tmp_path / "out", function=lambda rows: calls.append(len(rows)) or square(rows))
    assert calls == [4, 4, 2, 2]
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def dies_in_the_second(rows: pd.DataFrame) -> pd.DataFrame:
    if rows["n"].min() == 4:
        os.kill(os.getpid(), 9)
    return square(rows)


def test_a_killed_process_leaves_whole_shards_and_no_manifest(tmp_path):
    code = "import sys; from tests import test_shards as t; t.make(sys.argv[1], function=t.dies_in_the_second)"
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == -9
    assert set(hashes(tmp_path / "out")) == {"plan.json", "part-00000.parquet"}
    make(tmp_path / "out")
    make(tmp_path / "whole")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    fs_open = shards.fsspec.implementations.local.LocalFileSystem._open

    def open_full(self, path, mode="rb", **kwargs):
        return fs_open(self, "/dev/full" if path.endswith("part-00001.parquet.tmp") else path, mode, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(shards.fsspec.implementations.local.LocalFileSystem, "_open", open_full)
        with pytest.raises(OSError, match="No space left"):
            make(tmp_path / "out")
    assert set(hashes(tmp_path / "out")) == {"plan.json", "part-00000.parquet"}


def test_truncated_shard_is_refused_by_name_when_read(tmp_path):
    make(tmp_path / "out")
    path = tmp_path / "out" / "part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"part-00001.parquet with sha256 .* truncated"):
        shards.read(str(tmp_path / "out"))


def test_missing_shard_is_refused_by_name(tmp_path):
    make(tmp_path / "out")
    (tmp_path / "out" / "part-00002.parquet").unlink()
    with pytest.raises(ValueError, match=r"part-00002.parquet named in manifest.json"):
        shards.read(str(tmp_path / "out"))


def test_truncated_shard_of_an_unfinished_map_is_made_again(tmp_path):
    make(tmp_path / "out")
    before = hashes(tmp_path / "out")
    path = tmp_path / "out" / "part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "out" / "manifest.json").unlink()
    make(tmp_path / "out")
    assert hashes(tmp_path / "out") == before


@pytest.mark.parametrize("change", [{"settings": {"seed": 1}}, {"rows": ROWS.iloc[:8]}, {"shard_size": 5}])
def test_a_folder_begun_with_other_work_is_refused(tmp_path, change):
    make(tmp_path / "out")
    with pytest.raises(ValueError, match="name another folder"):
        make(tmp_path / "out", **change)


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unique ids, got 1 repeated"):
        make(tmp_path / "a", rows=pd.concat([ROWS, ROWS.iloc[:1]]))
    with pytest.raises(ValueError, match="at least one row"):
        make(tmp_path / "b", rows=ROWS.iloc[:0])
    with pytest.raises(ValueError, match="shard_size of at least 1"):
        make(tmp_path / "c", shard_size=0)
    with pytest.raises(ValueError, match="expected 4 rows back"):
        make(tmp_path / "d", function=lambda rows: square(rows).iloc[1:])
    assert not (tmp_path / "d" / "manifest.json").exists()


def test_manifest_names_settings(tmp_path):
    make(tmp_path / "out", settings={"backend": "soundfont"})
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"] == {"backend": "soundfont"}
