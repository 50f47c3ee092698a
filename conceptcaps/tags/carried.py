"""The taxonomy travels with the rows: beside the tag sets, the samples, the captions and the clips."""

from pathlib import Path

from conceptcaps.tags.taxonomy import Taxonomy

FILE = "taxonomy.yaml"


def files(taxonomy: Taxonomy) -> dict[str, bytes]:
    """The file that carries a taxonomy, by name: what ``shards.map_shards`` writes beside its rows."""
    return {FILE: taxonomy.to_yaml().encode()}


def taxonomy_of(folder: Path) -> Taxonomy:
    """The taxonomy in a folder; the built-in one if there is none, as with recordings."""
    return Taxonomy.load(folder / FILE if (folder / FILE).is_file() else None)
