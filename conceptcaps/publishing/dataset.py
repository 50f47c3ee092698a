"""The Hugging Face dataset: a folder of Parquet files, a card whose numbers name their runs, and checksums."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml
from datasets import Audio, Dataset, Features, List, Value
from huggingface_hub import HfApi
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from conceptcaps import hashing
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
VERDICTS = ("present", "absent", "uncertain")


def assemble(
    captions: pd.DataFrame, audio: pd.DataFrame, verification: pd.DataFrame, *, taxonomy: Taxonomy, seed: int
) -> pd.DataFrame:
    """One row for each clip, with its caption, its tags by category and by verdict, and its split.

    Args:
        captions: Rows of ``write_captions``.
        audio: Rows of ``generate_audio``, with the captions' ids.
        verification: Rows of ``verify_concepts``.
        taxonomy: Gives categories.
        seed: Seed of the split, which puts equal tag sets into one part.

    Raises:
        ValueError: If ids repeat or differ between captions and audio.
    """
    for name, frame in {"captions": captions, "audio": audio}.items():
        if not frame["id"].is_unique:
            raise ValueError(f"expected unique ids in {name}, got {int(frame['id'].duplicated().sum())} repeated ones")
    if set(captions["id"]) != set(audio["id"]):
        raise ValueError(
            f"expected a clip for each caption, got {len(captions)} captions, {len(audio)} clips, "
            f"{len(set(captions['id']) & set(audio['id']))} of them with the same id"
        )
    sound = audio.drop(columns=["tags", "caption", "seed"])
    rows = captions.rename(columns={"seed": "caption_seed"}).merge(sound, on="id", validate="1:1")
    rows["clip_seed"] = rows["id"].map(audio.set_index("id")["seed"])
    for category in taxonomy.categories:
        rows[category] = [[tag for tag in tags if taxonomy.category(tag) == category] for tags in rows["tags"]]
    for verdict in VERDICTS:
        tags = verification[verification["verdict"] == verdict].groupby("id")["tag"].agg(sorted)
        rows[f"verified_{verdict}"] = [tags.get(row_id, []) for row_id in rows["id"]]
    rows["split"] = [_split(tags, seed) for tags in rows["tags"]]
    return rows


def write(
    folder: Path, rows: pd.DataFrame, *, facts: Mapping[str, object], figures: list[dict[str, object]]
) -> dict[str, int]:
    """Write the configs ``default`` (text) and ``audio``, the card and the checksums.

    Args:
        folder: An empty folder.
        rows: Of ``assemble``.
        facts: For the card: ``corpus``, ``backend``, ``licence``, ``stages`` (stage to run id).
        figures: Key figures, each with ``label``, ``value`` and ``run``.

    Returns:
        Rows in each split.

    Raises:
        ValueError: If a split has no rows.
    """
    sizes = {split: int((rows["split"] == split).sum()) for split in SPLITS}
    empty = [split for split, size in sizes.items() if not size]
    if empty:
        raise ValueError(f"expected rows for every split, got none for {', '.join(empty)} of {len(rows)} rows")
    for config, features in (("default", _TEXT), ("audio", _TEXT | _SOUND)):
        for split in SPLITS:
            part = rows.loc[rows["split"] == split, list(features)]
            path = folder / "data" / config / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            Dataset.from_pandas(part, features=Features(features), preserve_index=False).to_parquet(path)
    configs = [
        {
            "config_name": config,
            "default": config == "default",
            "data_files": [{"split": split, "path": f"data/{config}/{split}.parquet"} for split in SPLITS],
        }
        for config in ("default", "audio")
    ]
    header = {
        "license": facts["licence"],
        "language": ["en"],
        "task_categories": ["text-to-audio", "audio-classification"],
        "tags": ["music", "concepts", "tcav"],
        "configs": configs,
    }
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined)
    card = environment.get_template("card.md.j2").render(
        header=yaml.safe_dump(header, sort_keys=False), rows=len(rows), sizes=sizes, figures=figures, **facts
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {str(path.relative_to(folder)): hashing.file_sha256(path) for path in files}
    (folder / "checksums.json").write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")
    return sizes


def verify(folder: Path) -> None:
    """Check a dataset folder against its checksums.

    Raises:
        ValueError: If a file is missing, changed, or not listed.
    """
    sums = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"checksums.json"}
    if found != set(sums):
        raise ValueError(
            f"expected the files of checksums.json in {folder}, got differences: {sorted(found ^ set(sums))}"
        )
    for name, expected in sums.items():
        if hashing.file_sha256(folder / name) != expected:
            raise ValueError(f"expected {folder / name} with sha256 {expected}, got another")


def push(folder: Path, name: str) -> None:
    """Upload a dataset folder to the Hugging Face hub as ``<owner>/<name>``; the token is read by the hub's client."""
    client = HfApi()
    client.create_repo(name, repo_type="dataset", exist_ok=True)
    client.upload_folder(folder_path=folder, repo_id=name, repo_type="dataset")


def licence(*, corpus: str, backend: str) -> str:
    """Licence that follows from what went in, as the Hub's identifier.

    MusicCaps is CC-BY-SA-4.0, and so is what is derived from its captions; MusicGen's weights are CC-BY-NC-4.0. Both
    together leave no licence that satisfies both, so ``other`` is stated. The demo corpus is this project's own.
    """
    if backend in {"musicgen", "audiocraft"}:
        return "cc-by-nc-4.0" if corpus == "demo" else "other"
    return "cc-by-4.0" if corpus == "demo" else "cc-by-sa-4.0"


def _split(tags: list[str], seed: int) -> str:
    place = int(hashing.digest([tag_set_id(tags), seed])[:8], 16) / 2**32
    return "train" if place < SPLITS["train"] else "validation" if place < 1 - SPLITS["test"] else "test"


_STRINGS = List(Value("string"))
_TEXT = {
    "id": Value("string"),
    "tags": _STRINGS,
    **{name: _STRINGS for name in ("genre", "mood", "instrument", "tempo")},
    "caption": Value("string"),
    "tag_recall": Value("float64"),
    "missed": _STRINGS,
    "hallucinated": _STRINGS,
    "sample_id": Value("string"),
    "caption_seed": Value("int64"),
}
_SOUND = {
    "audio": Audio(decode=False),
    "duration": Value("float64"),
    "sample_rate": Value("int64"),
    "clip_seed": Value("int64"),
    "unrealised": _STRINGS,
    "added": _STRINGS,
    **{f"verified_{verdict}": _STRINGS for verdict in VERDICTS},
}
