"""Croissant metadata of a dataset's folder: files, and the columns of each config, as JSON-LD that machines read.

References:
    Akhtar et al., Croissant: A metadata format for ML-ready datasets (2024), arXiv 2403.19546; specification 1.0.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "recordSet": "cr:recordSet",
    "field": "cr:field",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "source": "cr:source",
    "extract": "cr:extract",
    "column": "cr:column",
    "repeated": "cr:repeated",
    "subField": "cr:subField",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}


def metadata(
    folder: Path, configs: Sequence[Mapping[str, Any]], *, name: str, description: str, licence: str, version: str
) -> dict[str, Any]:
    """The document, for ``croissant.json``.

    Args:
        folder: Of the dataset, its Parquet files written.
        configs: Of ``dataset.configs``: ``config_name`` and ``data_files`` (``split`` and ``path``, patterns).
        name: Of the dataset.
        description: In a sentence.
        licence: The Hub's identifier.
        version: Such as ``1.0.0``.
    """
    sets, records = [], []
    for config in configs:
        own, patterns = config["config_name"], [path for file in config["data_files"] for path in file["path"]]
        schema = pq.read_schema(next(path for pattern in patterns for path in sorted(folder.glob(pattern))))
        files = {"@type": "cr:FileSet", "@id": f"{own}-files", "encodingFormat": "application/x-parquet"}
        sets.append({**files, "includes": patterns})
        fields = [_field(column, f"{own}/{column.name}", source=f"{own}-files") for column in schema]
        records.append({"@type": "cr:RecordSet", "@id": own, "name": own, "field": fields})
    about = {"name": name, "description": description, "license": licence, "version": version}
    head = {"@context": _CONTEXT, "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0"}
    return {**head, **about, "distribution": sets, "recordSet": records}


def write(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``croissant.json``."""
    (folder / "croissant.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _field(column: pa.Field, place: str, *, source: str) -> dict[str, Any]:
    kind, repeated = column.type, pa.types.is_list(column.type)
    kind = kind.value_type if repeated else kind
    found: dict[str, Any] = {"@type": "cr:Field", "@id": place, "name": place.rpartition("/")[2]}
    if repeated:
        found["repeated"] = True
    if pa.types.is_struct(kind):
        found["subField"] = [_field(part, f"{place}/{part.name}", source=source) for part in kind]
        return found
    origin = {"fileSet": {"@id": source}, "extract": {"column": place.partition("/")[2]}}
    return {**found, "dataType": _data_type(kind), "source": origin}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:MediaObject" if pa.types.is_binary(kind) else "sc:Text"
