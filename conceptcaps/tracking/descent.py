"""Which corpus and taxonomy a run, an artifact or a model comes from; one run may not mix two.

The lineage of tag sets is the hash of their taxonomy and of their split. A run has the lineage of what it reads, and
what it registers has the lineage of the run. What comes from no tag sets, such as a folder of recordings, has none and
goes with any.
"""

import json
from pathlib import Path
from typing import NamedTuple

import mlflow

from conceptcaps.errors import InputError
from conceptcaps.tracking.session import sessions
from conceptcaps.tracking.store import client, tags
from conceptcaps.workspace.hashing import digest, file_sha256

_CERTIFICATE = "split_certificate.json"
_TAXONOMY = "taxonomy.yaml"
_SAMPLES = "samples.parquet"  # has a certificate of its own, and the lineage of its run
_FACTS = ("corpus", "taxonomy", "min_categories", "split", "seed")
TAGS = ("lineage", "lineage.of", "lineage.from")


class Lineage(NamedTuple):
    """The hash that is compared, what it stands for in words, and the URI that a run read it from."""

    key: str
    of: str
    source: str

    def __str__(self) -> str:
        """In words, as error messages name it."""
        return f"{self.source} ({self.of}; lineage {self.key})"


def of_folder(folder: Path, *, source: str) -> Lineage | None:
    """Lineage of tag sets; None for any other folder."""
    if (folder / _SAMPLES).exists() or not all((folder / name).is_file() for name in (_CERTIFICATE, _TAXONOMY)):
        return None
    facts = json.loads((folder / _CERTIFICATE).read_text(encoding="utf-8"))
    key = digest([file_sha256(folder / _TAXONOMY), facts["sha256"]])[:12]
    named = {name: Path(str(facts[name])).name for name in _FACTS if name in facts}
    return Lineage(key, ", ".join(f"{name} {value}" for name, value in named.items()), source)


def of_uri(uri: str, path: Path) -> Lineage | None:
    """Lineage of an artifact: its own if it is tag sets, else its run's or its model version's.

    Args:
        uri: Where it came from, aliases resolved.
        path: Its local copy.
    """
    if uri.startswith("runs:/"):
        found = tags(uri.removeprefix("runs:/").split("/")[0])
    elif uri.startswith("models:/"):
        found = version_tags(uri)
    else:
        found = {}
    return of_folder(path, source=uri) or of_tags(found, source=uri)


def of_tags(found: dict[str, str], *, source: str) -> Lineage | None:
    """Lineage in the tags of a run or of a model version."""
    return Lineage(found["lineage"], found.get("lineage.of", ""), source) if "lineage" in found else None


def version_tags(uri: str) -> dict[str, str]:
    """Tags of ``models:/<name>/<version>``."""
    name, version = uri.removeprefix("models:/").rsplit("/", 1)
    return dict(client().get_model_version(name, version).tags)


def take(uri: str, path: Path) -> None:
    """Give the active run the lineage of what it reads.

    Raises:
        InputError: If the run has read something of another lineage before.
    """
    found = of_uri(uri, path)
    if found is None:
        return
    own = tags(sessions[-1].run_id)
    before = of_tags(own, source=own.get("lineage.from", ""))
    if before is None:
        mlflow.set_tags(dict(zip(TAGS, found, strict=True)))
    elif before.key != found.key:
        raise InputError(
            f"expected everything of one corpus and taxonomy, got {before} and {found}: "
            "name the tag sets of the model, or a model that was trained on these tag sets"
        )
