"""Tables of captions: written for tables of tag sets, and summed up."""

import pandas as pd
import pyarrow as pa

from conceptcaps.captioner import Captioner, write
from conceptcaps.decoding import Sampling
from conceptcaps.intervals import bootstrap_mean
from conceptcaps.steps import row_seed
from conceptcaps.taxonomy import tag_set_id

_STRINGS = pa.list_(pa.string())
FIELDS = [
    ("id", pa.string()),
    ("sample_id", pa.string()),
    ("tags", _STRINGS),
    ("seed", pa.int64()),
    ("caption", pa.string()),
    ("tag_recall", pa.float64()),
    ("missed", _STRINGS),
    ("hallucinated", _STRINGS),
    ("attempts", pa.int64()),
    ("words", pa.int64()),
]


def write_rows(
    rows: pd.DataFrame,
    captioner: Captioner,
    *,
    sampling: Sampling,
    batch_size: int,
    attempts: int,
    steering: float,
    seed: int,
) -> pd.DataFrame:
    """Captions for tag sets.

    Args:
        rows: Columns ``id`` and ``tags``.
        captioner: Model and prompt.
        sampling: Decoding dials.
        batch_size: Rows decoded at once.
        attempts: Most attempts at one caption.
        steering: Bonus of tags not yet said, in nats; 0 does not steer.
        seed: Seed of the run; a row draws from ``row_seed(id, seed)``.

    Returns:
        Columns of ``FIELDS``: ``id`` is the hash of tag set, row seed and caption; ``sample_id`` the input's id.
    """
    seeds = [row_seed(sample, seed) for sample in rows["id"]]
    tag_sets = [list(tags) for tags in rows["tags"]]
    written = write(
        captioner, tag_sets, seeds=seeds, sampling=sampling, batch_size=batch_size, attempts=attempts, steering=steering
    )
    return pd.DataFrame(
        {
            "id": [
                tag_set_id(tags, seed=own, caption=row.caption)
                for tags, own, row in zip(tag_sets, seeds, written, strict=True)
            ],
            "sample_id": rows["id"].to_numpy(),
            "tags": tag_sets,
            "seed": seeds,
            "caption": [row.caption for row in written],
            "tag_recall": [row.faithfulness.tag_recall for row in written],
            "missed": [row.faithfulness.missed for row in written],
            "hallucinated": [row.faithfulness.hallucinated for row in written],
            "attempts": [row.attempts for row in written],
            "words": [len(row.caption.split()) for row in written],
        }
    )


def summary(captions: pd.DataFrame, *, seed: int) -> dict[str, float]:
    """Means over captions, with 95 % bootstrap intervals for the first three.

    Returns:
        ``captions/tag_recall``, ``captions/all_tags`` (share of captions that say every tag),
        ``captions/hallucinating`` (share that name a tag that was not asked for), each with ``_low`` and ``_high``;
        ``captions/words``, ``captions/attempts``, ``captions/count``.
    """
    shares = {
        "tag_recall": captions["tag_recall"],
        "all_tags": captions["tag_recall"] == 1,
        "hallucinating": captions["hallucinated"].map(len) > 0,
    }
    found: dict[str, float] = {"captions/count": len(captions)}
    for name, values in shares.items():
        interval = bootstrap_mean(values.astype(float), seed=seed)
        found |= {f"captions/{name}": interval.mean}
        found |= {f"captions/{name}_low": interval.low, f"captions/{name}_high": interval.high}
    return found | {f"captions/{name}": float(captions[name].mean()) for name in ("words", "attempts")}
