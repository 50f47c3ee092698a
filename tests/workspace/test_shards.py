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

from conceptcaps.errors import InputError
from conceptcaps.workspace import shards

SCHEMA = pa.schema([("id", pa.string()), ("words", pa.list_(pa.string())), ("square", pa.int64())])
ROWS = pd.DataFrame({"id": [f"row-{n}" for n in range(10)], "n": range(10)})


def square(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"id": rows["id"], "words": [[] for _ in rows["n"]], "square": rows["n"] ** 2})


def make(out: Path | str, *, function=square, rows=ROWS, shard_size=4, settings=None, **more) -> dict:
    return shards.map_shards(
        function,
        rows,
        out=str(out),
        schema=SCHEMA,
        shard_size=shard_size,
        settings=settings or {"seed": 0},
        description="squares",
        **more,
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
    code = (
        "import sys; from tests.workspace import test_shards as t; t.make(sys.argv[1], function=t.dies_in_the_second)"
    )
    root = str(Path(__file__).resolve().parents[2])
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


def test_rows_with_other_contents_under_the_same_ids_are_another_map(tmp_path):
    make(tmp_path / "out")
    with pytest.raises(ValueError, match="name another folder"):
        make(tmp_path / "out", rows=ROWS.assign(n=ROWS["n"] + 1))


def test_several_processes_make_the_same_bytes_and_a_range_waits_for_the_others(tmp_path):
    rows = pd.DataFrame({"id": [f"row-{n}" for n in range(40)], "n": range(40)})
    make(tmp_path / "one", rows=rows, shard_size=2)
    make(tmp_path / "two", rows=rows, shard_size=2, workers=2)
    assert make(tmp_path / "ranges", rows=rows, shard_size=2, shard_range=(5, 20)) is None
    assert not (tmp_path / "ranges" / "manifest.json").exists()
    assert make(tmp_path / "ranges", rows=rows, shard_size=2, shard_range=(0, 5)) is not None
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") == hashes(tmp_path / "ranges")


@pytest.mark.parametrize(("text", "message"), [("5", "such as 0:100"), ("a:b", "such as 0:100")])
def test_a_range_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        shards.parse_range(text)


@pytest.mark.parametrize("wrong", [(3, 3), (4, 9), (2, 1)])
def test_a_range_without_shards_is_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected a range within the 3 shards"):
        make(tmp_path, shard_range=wrong)


def fails_at_seven(rows: pd.DataFrame) -> pd.DataFrame:
    if 7 in rows["n"].tolist():
        raise InputError("seven")
    return square(rows)


def test_a_failure_in_another_process_is_raised_here_and_what_is_done_is_kept(tmp_path):
    rows = pd.DataFrame({"id": [f"row-{n}" for n in range(32)], "n": range(32)})
    with pytest.raises(ValueError, match="seven"):
        make(tmp_path / "out", rows=rows, shard_size=2, workers=2, function=fails_at_seven)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert "part-00000.parquet" in left and not left & {"part-00003.parquet", "manifest.json"}
    assert not [name for name in left if name.endswith(".tmp")]


def test_a_second_protocol_holds_the_same_shards(tmp_path):
    manifest = make("memory://maps/squares")
    assert manifest["shards"] == make(tmp_path / "out")["shards"]
    assert shards.read("memory://maps/squares")["square"].tolist() == [n * n for n in range(10)]


def test_files_are_not_packed_twice_and_words_are(tmp_path):
    schema = pa.schema([("id", pa.string()), ("file", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])

    def function(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"id": rows["id"], "file": [{"bytes": bytes(1000), "path": each} for each in rows["id"]]})

    shards.map_shards(function, ROWS, out=str(tmp_path), schema=schema, shard_size=10, settings={}, description="files")
    group = pq.ParquetFile(tmp_path / "part-00000.parquet").metadata.row_group(0)
    assert {group.column(n).path_in_schema: group.column(n).compression for n in range(3)} == {
        "id": "ZSTD", "file.bytes": "UNCOMPRESSED", "file.path": "ZSTD",
    }  # fmt: skip
    many = pd.DataFrame({"id": [f"row-{number}" for number in range(40)]})
    out = str(tmp_path / "many")
    shards.map_shards(function, many, out=out, schema=schema, shard_size=40, settings={}, description="files")
    metadata = pq.ParquetFile(f"{out}/part-00000.parquet").metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [16, 16, 8]
    assert shards.read(out)["id"].tolist() == many["id"].tolist()
