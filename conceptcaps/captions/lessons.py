"""What a captioner learns from: captions with the plans that they follow, and the idiom of their corpus."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from conceptcaps.captions import caption_corpus, planning
from conceptcaps.captions.idiom import Idiom
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import cache, hashing, project
from conceptcaps.workspace.files import whole

CORPUS_HELP = "builtin, tag_sets (their captions), a CSV or Parquet file, or a Hub id with @revision"
LEAST_TAGS = 3
VALIDATION_ROWS = (8, 48)
_IDIOMS = 2**28  # bytes of them in the cache


def examples(rows: pd.DataFrame, *, taxonomy: Taxonomy, most: int, seed: int, min_tags: int = 1) -> pd.DataFrame:
    """Captions to learn from, each with its plan: ``most`` of ``min_tags`` tags or more, drawn by ``seed`` (0: all).

    The tags are those that a caption says itself; sentences that say none are left out of it.

    Args:
        rows: Columns ``id`` and ``caption``.
        taxonomy: Reads the tags.
        most: Examples at most.
        seed: Of the draw.
        min_tags: Tags that a caption must say.

    Returns:
        Columns ``id``, ``tags``, ``plan`` and ``caption``.

    Raises:
        InputError: If no caption says so many tags.
    """
    outlines = [planning.outline(text, taxonomy=taxonomy) for text in rows["caption"]]
    frame = pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "tags": [[tag for sentence in plan for tag in sentence] for _, plan in outlines],
            "plan": [plan for _, plan in outlines],
            "caption": [text for text, _ in outlines],
        }
    )
    usable = frame[frame["tags"].map(len) >= min_tags]
    if usable.empty:
        raise InputError(f"expected captions that say {min_tags} tags or more to learn from, got none in {len(rows)}")
    if 0 < most < len(usable):
        chosen = np.random.default_rng(seed).choice(len(usable), most, replace=False)
        usable = usable.iloc[np.sort(chosen)]
    return usable.reset_index(drop=True)


class Examples(NamedTuple):
    """What a captioner learns from.

    Attributes:
        rows: ``train`` and ``validation`` examples.
        corpus: ``taxonomy``, by which they are read, and the ``idiom`` of all captions for training, of which ``train``
            has a draw, and of those that only tell how the corpus speaks: what is kept beside the captioner's examples.
    """

    rows: dict[str, pd.DataFrame]
    corpus: dict[str, Any]


def read_examples(folder: Path, *, source: str, most: int, seed: int) -> Examples:
    """Examples of three tags or more, and the corpus that they are of.

    The validation set is a sixteenth of the training set, 8 to 48 examples, because it is read often.

    Args:
        folder: A tag_sets folder; has the taxonomy.
        source: ``tag_sets``, the captions of that folder, or what ``caption_corpus.load`` takes.
        most: Examples to learn from; 0 takes all.
        seed: Of the draws.
    """
    taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
    rows = caption_corpus.load_for(folder, source=source, taxonomy=taxonomy, seed=seed)
    few, many = VALIDATION_ROWS
    sizes = {"train": most, "validation": min(max(-(-most // 16), few), many) if most else many}
    parts = {
        name: examples(rows[rows["split"] == name], taxonomy=taxonomy, most=size, seed=seed, min_tags=LEAST_TAGS)
        for name, size in sizes.items()
    }
    text = rows.loc[rows["split"] == "train", "caption"].tolist()
    idiom = _idiom(text, source=source, seed=seed, taxonomy=taxonomy)
    return Examples(parts, {"taxonomy": taxonomy, "idiom": idiom, "learnt": parts["train"]})


def _idiom(captions: list[str], *, source: str, seed: int, taxonomy: Taxonomy) -> Idiom:
    """The idiom of captions and of further ones of their source, kept in the cache: a sweep and a training share it."""
    code = project.code_hash(__file__)
    key = hashing.digest([code, captions, source, seed, taxonomy.to_yaml()])
    kept = cache.root() / "idioms" / f"{key[:32]}.json"
    if not kept.exists():
        with whole(kept) as temporary:
            Idiom.of([*captions, *caption_corpus.further(source, seed=seed)], taxonomy=taxonomy).save(temporary)
    kept.touch()
    found = Idiom.load(kept, taxonomy=taxonomy)
    cache.prune(kept.parent, limit=_IDIOMS)
    return found
