import json

import pyarrow.parquet as pq

from conceptcaps.publishing import croissant, dataset
from tests.publishing.test_dataset import TAXONOMY, build, table


def test_every_config_and_column_is_described(tmp_path):
    dataset.write_rows(tmp_path, *table(40), taxonomy=TAXONOMY, seed=0)
    configs = dataset.configs(tmp_path)
    about = {"name": "n", "description": "d", "licence": "cc-by-4.0", "version": "1.0.0"}
    found = croissant.metadata(tmp_path, configs, **about)
    records = {record["name"]: record for record in found["recordSet"]}
    assert set(records) == {config["config_name"] for config in configs}
    for files in found["distribution"]:
        paths = [path for pattern in files["includes"] for path in tmp_path.glob(pattern)]
        assert paths, "the patterns name files"
        fields = {field["name"]: field for field in records[files["@id"].removesuffix("-files")]["field"]}
        assert set(fields) == set(pq.read_schema(paths[0]).names)
    kinds = {field["name"]: field.get("dataType") for field in records["audio"]["field"]}
    assert (kinds["caption"], kinds["duration"], kinds["clip_seed"], kinds["verified"], kinds["midi"]) == (
        "sc:Text", "sc:Float", "sc:Integer", "sc:Boolean", "sc:MediaObject"
    )  # fmt: skip
    audio = next(field for field in records["audio"]["field"] if field["name"] == "audio")
    assert [part["name"] for part in audio["subField"]] == ["bytes", "path"]
    assert next(field for field in records["audio"]["field"] if field["name"] == "aspect_list")["repeated"]


def test_a_finished_dataset_holds_it_and_its_checksum(tmp_path):
    build(tmp_path)
    assert json.loads((tmp_path / "croissant.json").read_text())["license"] == "cc-by-4.0"
    assert "croissant.json" in json.loads((tmp_path / "checksums.json").read_text())
