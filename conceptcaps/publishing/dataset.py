"""The Hugging Face dataset: Parquet files written as a stream, a card whose numbers name their runs, and checksums.

Rows are filed by split, by subset and by whether they are verified, so that every config is a choice of files and no
clip is stored twice.
"""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from datasets import Audio, Features, List, Value
from huggingface_hub import DatasetCard, DatasetCardData

from conceptcaps.errors import InputError
from conceptcaps.publishing import chain, croissant
from conceptcaps.publishing.evidence import Evidence, weigh
from conceptcaps.publishing.parquet import MOST_BYTES, ParquetFiles
from conceptcaps.tags.splits import SPLITS
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import hashing

SUBSETS = ("10pct", "25pct", "all")  # the first two lie in the third, the first in the second
_STRINGS = List(Value("string"))
TEXT = {
    "id": Value("string"),
    "caption": Value("string"),
    "aspect_list": _STRINGS,
    "genre_aspects": _STRINGS,
    "mood_aspects": _STRINGS,
    "instrument_aspects": _STRINGS,
    "tempo_aspects": _STRINGS,
    "file_name": Value("string"),
    "asked": _STRINGS,
    "tag_recall": Value("float64"),
    "missed": _STRINGS,
    "hallucinated": _STRINGS,
    "sample_id": Value("string"),
    "caption_seed": Value("int64"),
    "present": _STRINGS,
    "absent": _STRINGS,
    "unrealised": _STRINGS,
    "added": _STRINGS,
    **{f"heard_{verdict}": _STRINGS for verdict in ("present", "absent")},
    "contradictions": _STRINGS,
    "verified": Value("bool"),
    "chain": chain.CHAIN,
}
SOUND = {
    "audio": Audio(decode=False),
    "duration": Value("float64"),
    "sample_rate": Value("int64"),
    "clip_seed": Value("int64"),
    "bpm": Value("float64"),
    "key": Value("string"),
    "mode": Value("string"),
    "meter": Value("int64"),
    "midi": Value("binary"),
}


def row(
    caption: Mapping[Hashable, Any],
    clip: Mapping[Hashable, Any],
    verdicts: Mapping[str, str],
    *,
    taxonomy: Taxonomy,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One row of the dataset: columns of ``TEXT`` and ``SOUND``, and ``split``.

    Args:
        caption: Row of ``write_captions``.
        clip: Row of ``generate_audio`` with the same id.
        verdicts: Of ``verify_concepts``, by tag.
        taxonomy: Gives categories.
        origin: What the ``chain`` of all rows shares, see ``chain.of_row``.
    """
    asked, facts = list(caption["tags"]), clip["facts"] or {}
    to_say = list(caption.get("asked", asked))
    said = (set(to_say) - set(caption["missed"])) | set(caption["hallucinated"])
    lists = {name: list(clip[name]) for name in ("present", "absent", "unrealised", "added")}
    evidence: Evidence = weigh(
        asked=asked, present=lists["present"], absent=lists["absent"], verdicts=verdicts, said=said
    )
    heard = {
        verdict: sorted(tag for tag, own in verdicts.items() if own == verdict) for verdict in ("present", "absent")
    }
    by_category = {
        f"{category}_aspects": [tag for tag in asked if taxonomy.category(tag) == category]
        for category in taxonomy.categories
    }
    return {
        **{
            name: caption[name]
            for name in ("id", "caption", "tag_recall", "missed", "hallucinated", "sample_id", "split")
        },
        "aspect_list": asked,
        **by_category,
        "file_name": clip["audio"]["path"],
        "asked": to_say,
        "caption_seed": caption["seed"],
        **lists,
        **{f"heard_{verdict}": tags for verdict, tags in heard.items()},
        "contradictions": evidence.contradictions,
        "verified": evidence.verified,
        "chain": chain.of_row(caption, clip, origin),
        **{name: clip[name] for name in ("audio", "duration", "sample_rate", "midi")},
        "clip_seed": clip["seed"],
        **{name: facts.get(name) for name in ("bpm", "key", "mode", "meter")},
    }


def subset(tags: Iterable[str], *, seed: int) -> str:
    """The smallest of ``SUBSETS`` that a row lies in, by its tag set: 10, 15 and 75 % of tag sets."""
    place = hashing.share_of([tag_set_id(tags), "subset", seed])
    return "10pct" if place < 0.1 else "25pct" if place < 0.25 else "all"


@dataclass
class Contents:
    """Rows by split, hours, clips that could not be made, verified rows, and rows that contradict themselves."""

    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    hours: float = 0.0
    failed: int = 0
    verified: int = 0
    contradicting: int = 0


def write_rows(
    folder: Path,
    captions: pd.DataFrame,
    clips: Iterable[pd.DataFrame],
    verdicts: Mapping[str, Mapping[str, str]],
    *,
    taxonomy: Taxonomy,
    seed: int,
    origin: Mapping[str, Any] | None = None,
    most_bytes: int = MOST_BYTES,
) -> Contents:
    """File captions and clips into ``data/<text|audio>/<split>-<subset>-<verified|other>-<number>.parquet``.

    Args:
        folder: Of the dataset.
        captions: Rows of ``write_captions``.
        clips: Rows of ``generate_audio`` in batches. Clips that could not be made are left out and counted.
        verdicts: By row id and tag.
        taxonomy: Gives categories.
        seed: Seed of the subsets.
        origin: What the ``chain`` of all rows shares, see ``chain.of_row``.
        most_bytes: Most bytes of a file.

    Raises:
        InputError: If ids repeat, captions and clips are not of the same rows, or no clip could be made.
    """
    if not captions["id"].is_unique:
        raise InputError(f"expected unique ids of captions, got {int(captions['id'].duplicated().sum())} repeated ones")
    waiting = {caption["id"]: caption for caption in captions.to_dict("records")}
    files, contents = ParquetFiles(folder / "data", most_bytes=most_bytes), Contents()
    tables = {name: Features(features).arrow_schema for name, features in (("text", TEXT), ("audio", TEXT | SOUND))}
    for batch in clips:
        for clip in batch.to_dict("records"):
            caption = waiting.pop(clip["id"], None)
            if caption is None:
                raise InputError(f"expected each clip to have one caption, got clip {clip['id']!r} without one left")
            if pd.notna(clip["error"]):
                contents.failed += 1
                continue
            made = row(caption, clip, verdicts.get(clip["id"], {}), taxonomy=taxonomy, origin=origin)
            kind = "verified" if made["verified"] else "other"
            place = f"{made['split']}-{subset(made['aspect_list'], seed=seed)}-{kind}"
            for table, schema in tables.items():
                own = {column: made[column] for column in schema.names}
                files.add(f"{table}/{place}", own, schema=schema)
            contents.sizes[made["split"]] += 1
            contents.hours += made["duration"] / 3600
            contents.verified += made["verified"]
            contents.contradicting += bool(made["contradictions"])
    if waiting:
        raise InputError(
            f"expected a clip for each caption, got {len(waiting)} captions with none, such as {next(iter(waiting))!r}"
        )
    if not sum(contents.sizes.values()):
        raise InputError(f"expected at least one clip for the dataset, got none ({contents.failed} could not be made)")
    files.close()
    return contents


def write_table(
    folder: Path, name: str, batches: Iterable[pd.DataFrame], *, schema: pa.Schema, split: str
) -> dict[str, int]:
    """Write a config of its own, ``pairs`` or ``concepts``, and return its rows by split.

    Args:
        folder: Of the dataset.
        name: Name of the config.
        batches: Rows with the columns of ``schema``.
        schema: Of the files.
        split: Column that says in which split a row lies.
    """
    files, sizes = ParquetFiles(folder / "data"), Counter[str]()
    for batch in batches:
        for made in batch.astype(object).where(batch.notna(), None).to_dict("records"):  # pandas makes None of text NaN
            if pd.notna(made.get("error")):  # could not be made: no clip to publish
                continue
            files.add(f"{name}/{made[split]}", made, schema=schema)
            sizes[made[split]] += 1
    files.close()
    return dict(sizes)


def configs(folder: Path) -> list[dict[str, Any]]:
    """Configs of the files in a dataset's folder: each a name and the patterns of its splits."""
    ten, quarter = SUBSETS[:1], SUBSETS[:2]
    choices = {
        "default": ("text", SUBSETS, "*"),
        "audio": ("audio", SUBSETS, "*"),
        "verified": ("audio", SUBSETS, "verified"),
        "25pct": ("text", quarter, "*"),
        "10pct": ("text", ten, "*"),
        "25pct-audio": ("audio", quarter, "*"),
        "10pct-audio": ("audio", ten, "*"),
    }
    patterns = {
        name: {split: [f"data/{table}/{split}-{part}-{kind}-*.parquet" for part in parts] for split in SPLITS}
        for name, (table, parts, kind) in choices.items()
    } | {name: {split: [f"data/{name}/{split}-*.parquet"] for split in SPLITS} for name in ("pairs", "concepts")}
    found = []
    for name, by_split in patterns.items():
        kept = {split: [path for path in paths if any(folder.glob(path))] for split, paths in by_split.items()}
        files = [{"split": split, "path": paths} for split, paths in kept.items() if paths]
        if files:
            found.append({"config_name": name, "default": name == "default", "data_files": files})
    return found


def finish(folder: Path, *, licence: str, template: Mapping[str, Any], version: str) -> None:
    """Write the card, Croissant metadata and, last, the checksums of every file.

    Each config is described by the hash of all data: ``load_dataset`` tells local folders apart by their configs alone
    (datasets 5.0) and would read another dataset of the same configs from its cache.

    Args:
        folder: Of the dataset, its Parquet files written.
        licence: The Hub's identifier.
        template: Values of ``card.md.j2``.
        version: Of the dataset.
    """
    sums = _sums(folder)
    described = [config | {"description": f"Of data {hashing.digest(sums)}"} for config in configs(folder)]
    header = DatasetCardData(
        license=licence,
        language="en",
        task_categories=["text-to-audio", "audio-classification"],
        pretty_name="ConceptCaps",
        tags=["music", "concepts", "tcav"],
        configs=described,
    )
    text = Path(__file__).with_name("card.md.j2").read_text(encoding="utf-8")
    card = DatasetCard.from_template(header, template_str=text, licence=licence, **template)
    card.save(folder / "README.md")
    about = {"name": "ConceptCaps", "description": "Music clips with concept tags, captions and evidence of each tag."}
    croissant.write(
        folder, croissant.metadata(folder, configs(folder), **about, licence=licence, version=version.removeprefix("v"))
    )
    sums = _sums(folder, known=sums)
    (folder / "checksums.json").write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")


def _sums(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Sha256 (hex) of each file of a folder by its name; what is known is not read again."""
    known, files = known or {}, sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    return {name: known.get(name) or hashing.file_sha256(path) for name, path in zip(names, files, strict=True)}


def verify(folder: Path) -> None:
    """Check a dataset folder against its checksums.

    Raises:
        InputError: If a file is missing, changed, or not listed.
    """
    sums = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"checksums.json"}
    if found != set(sums):
        raise InputError(
            f"expected the files of checksums.json in {folder}, got differences: {sorted(found ^ set(sums))}"
        )
    for name, expected in sums.items():
        if hashing.file_sha256(folder / name) != expected:
            raise InputError(f"expected {folder / name} with sha256 {expected}, got another")
