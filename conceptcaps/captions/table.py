"""Tables of captions: written for tables of tag sets, read, judged, summed up and compared."""

import json
from typing import Any

import pandas as pd
import pyarrow as pa

from conceptcaps.captions import metrics, planning
from conceptcaps.captions.captioner import Captioner
from conceptcaps.captions.faithfulness import check
from conceptcaps.captions.sampling import Sampling
from conceptcaps.captions.writing import write
from conceptcaps.errors import InputError
from conceptcaps.results.intervals import bootstrap_mean, paired_difference, paired_p_value
from conceptcaps.tags import corpus_table
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import assets, shards
from conceptcaps.workspace.hashing import digest, row_seed

_STRINGS = pa.list_(pa.string())
FIELDS = [
    ("id", pa.string()),
    ("sample_id", pa.string()),
    ("tags", _STRINGS),
    ("asked", _STRINGS),
    ("split", pa.string()),
    ("seed", pa.int64()),
    ("caption", pa.string()),
    ("tag_recall", pa.float64()),
    ("missed", _STRINGS),
    ("hallucinated", _STRINGS),
    ("plan", pa.string()),
    ("prompt", pa.string()),
    ("words", pa.int64()),
]
SCHEMA = pa.schema(FIELDS)


def write_rows(
    rows: pd.DataFrame,
    captioner: Captioner,
    *,
    sampling: Sampling,
    batch_size: int,
    candidates: int,
    attempts: int,
    seed: int,
    max_words: int,
) -> pd.DataFrame:
    """Captions for tag sets.

    Args:
        rows: Columns ``id``, ``tags`` and ``split``; with a column ``present``, of what sounds, no other tag is asked
            for.
        captioner: Model, prompt and plans to follow.
        sampling: Decoding dials.
        batch_size: Texts decoded at once, each candidate one.
        candidates: Drawn for each sentence.
        attempts: How often they are drawn at most, while each has a fault; see ``write``.
        seed: Seed of the run; a row draws from ``row_seed(id, seed)``.
        max_words: Longer captions lose sentences; 0 keeps all.

    Returns:
        Columns of ``FIELDS``: ``id`` is the hash of tag set, row seed and caption; ``sample_id`` the input's id;
        ``asked`` the tags that the caption was to say, all of ``tags`` where nothing is known of the sound;
        ``prompt`` the sha256 of the chat.
    """
    seeds = [row_seed(sample, seed) for sample in rows["id"]]
    tag_sets = [list(tags) for tags in rows["tags"]]
    asked = tag_sets
    if "present" in rows:
        asked = [
            [tag for tag in tags if tag in sounding] or sorted(sounding)
            for tags, sounding in zip(tag_sets, map(set, rows["present"]), strict=True)
        ]
    written = write(
        captioner,
        asked,
        seeds=seeds,
        sampling=sampling,
        batch_size=batch_size,
        candidates=candidates,
        attempts=attempts,
        max_words=max_words,
    )
    return pd.DataFrame(
        {
            "id": [
                tag_set_id(tags, seed=own, caption=row.caption)
                for tags, own, row in zip(tag_sets, seeds, written, strict=True)
            ],
            "sample_id": rows["id"].to_numpy(),
            "split": rows["split"].to_numpy(),
            "tags": tag_sets,
            "asked": asked,
            "seed": seeds,
            "caption": [row.caption for row in written],
            "tag_recall": [row.faithfulness.tag_recall for row in written],
            "missed": [row.faithfulness.missed for row in written],
            "hallucinated": [row.faithfulness.hallucinated for row in written],
            "plan": [planning.render(row.plan) for row in written],
            "prompt": [digest(captioner.messages(row.plan)) for row in written],
            "words": [len(row.caption.split()) for row in written],
        }
    )


def show(rows: pd.DataFrame, captioner: Captioner, *, most: int = 3) -> list[dict[str, Any]]:
    """Plan, caption and tag recall of the first ``most`` rows, each sentence drawn once: a look at a training."""
    dials = {"batch_size": most, "candidates": 1, "attempts": 1, "max_words": 0}
    written = write_rows(rows.head(most).assign(split="validation"), captioner, sampling=Sampling(), seed=0, **dials)
    return json.loads(written[["plan", "caption", "tag_recall"]].to_json(orient="records"))


def evaluate(rows: pd.DataFrame, captioner: Captioner, *, seed: int) -> dict[str, float]:
    """What a training is worth beyond its loss: captions of validation rows, one greedy draw a sentence.

    Args:
        rows: Columns ``id``, ``tags`` and ``caption``.
        captioner: Model and prompt.
        seed: Of the rows' draws.

    Returns:
        ``val/tag_recall`` (0 to 1, best 1) and ``val/bertscore_f1`` with the rows' own captions (MiniLM, at most 1).
    """
    dials = {"batch_size": 64, "candidates": 1, "attempts": 1, "max_words": 0}
    written = write_rows(
        rows.assign(split="validation"), captioner, sampling=Sampling(temperature=0.0), seed=seed, **dials
    )
    scorer = metrics.bert_scorer(str(assets.fetch("minilm")), layer=metrics.MINILM_LAYER)
    f1 = metrics.bert_score(written["caption"].tolist(), rows["caption"].tolist(), scorer=scorer)
    return {"val/tag_recall": float(written["tag_recall"].mean()), "val/bertscore_f1": float(f1.mean())}


def open_table(source: str, *, taxonomy: Taxonomy) -> pd.DataFrame:
    """Captions of ``write_captions``, or of anyone else.

    Args:
        source: Folder of shards; or a CSV with ``aspect_list``, which is mapped to tags, and ``caption`` or
            ``prediction`` (rows that no tag is found for are left out).
        taxonomy: Maps the aspects.

    Returns:
        Columns ``id``, ``sample_id`` (of a CSV the hash of the tag set, and its number where that stood before),
        ``tags`` (those that the caption was to say) and ``caption`` at least.

    Raises:
        InputError: If the CSV lacks a column, or no row has a tag.
    """
    if not source.endswith(".csv"):
        return _by_what_was_asked(shards.read(source))
    frame = pd.read_csv(source, keep_default_na=False)
    frame = frame if "caption" in frame else frame.rename(columns={"prediction": "caption"})
    if not {"aspect_list", "caption"} <= set(frame):
        raise InputError(f"expected columns aspect_list and caption or prediction in {source}, got {list(frame)}")
    cells = enumerate(frame["aspect_list"])
    aspects = [corpus_table.parse_aspects(cell, where=f"row {row} of {source}") for row, cell in cells]
    tags = [sorted({tag for aspect in row for tag in taxonomy.match(aspect)}) for row in aspects]
    ids = [str(number) for number in range(len(frame))]
    frame = pd.DataFrame({"id": ids, "sample_id": map(tag_set_id, tags), "tags": tags, "caption": frame["caption"]})
    before = frame.groupby("sample_id").cumcount()
    frame["sample_id"] += before.map(lambda number: f"-{number}" if number else "")
    found = frame[frame["tags"].map(len) > 0].reset_index(drop=True)
    if found.empty:
        raise InputError(f"expected rows with a tag of the taxonomy in {source}, got none in {len(frame)}")
    return found


def _by_what_was_asked(captions: pd.DataFrame) -> pd.DataFrame:
    return captions.assign(tags=captions["asked"]) if "asked" in captions else captions


def check_all(captions: pd.DataFrame, *, taxonomy: Taxonomy) -> pd.DataFrame:
    """What each caption says of its tags, by the taxonomy's matcher.

    Returns:
        ``tag_recall`` (0 to 1, best 1), and 0 or 1 each: ``all_tags`` (it says every tag), ``hallucinating`` (it names
        a tag that nobody asked for) and ``inventing`` (one of genre or instrument).
    """
    found = [
        check(text, tags, taxonomy=taxonomy) for text, tags in zip(captions["caption"], captions["tags"], strict=True)
    ]
    heard = {"genre", "instrument"}
    return pd.DataFrame(
        {
            "tag_recall": [row.tag_recall for row in found],
            "all_tags": [float(not row.missed) for row in found],
            "hallucinating": [float(bool(row.hallucinated)) for row in found],
            "inventing": [float(any(taxonomy.category(tag) in heard for tag in row.hallucinated)) for row in found],
        }
    )


def summarise(captions: pd.DataFrame, *, taxonomy: Taxonomy, seed: int) -> dict[str, float]:
    """Means over captions, with 95 % bootstrap intervals for what ``check_all`` gives.

    Returns:
        ``captions/<column of judge>``, each with ``_low`` and ``_high``, and ``captions/words`` and ``/count``.
    """
    found: dict[str, float] = {"captions/count": len(captions)}
    found |= means(check_all(_by_what_was_asked(captions), taxonomy=taxonomy), seed=seed)
    return found | {"captions/words": float(captions["words"].mean())}


def means(scores: pd.DataFrame, *, seed: int) -> dict[str, float]:
    """``captions/<column>`` with its ``_low`` and ``_high``: means of per-caption scores, NaN left out.

    The mean of one score has no interval.
    """
    found: dict[str, float] = {}
    for name in scores:
        values = scores[name].dropna()
        if len(values) < 2:  # no interval of one caption
            found |= {f"captions/{name}": float(value) for value in values}
            continue
        found |= bootstrap_mean(values, seed=seed).metrics(f"captions/{name}")
    return found


def paired(scores: pd.DataFrame, baseline: pd.DataFrame, *, seed: int) -> dict[str, float]:
    """Differences between two evaluations over the tag sets that both hold, with intervals and p-values.

    Args:
        scores: Columns ``sample_id``, ``reference_id`` and one per score.
        baseline: The same of other captions.
        seed: Of resamples and permutations.

    Returns:
        ``paired/<score>`` (mean of ours minus theirs), ``_low``, ``_high``, ``_p`` (sign-flip test), and ``paired/n``.

    Raises:
        InputError: If they share fewer than two rows of the same tag set and reference.
    """
    shared = scores.merge(baseline, on=["sample_id", "reference_id"], suffixes=("", " theirs"))
    if len(shared) < 2:
        raise InputError(
            f"expected a baseline of the same samples and references, got {len(shared)} of {len(scores)} rows in common"
        )
    found: dict[str, float] = {"paired/n": len(shared)}
    for name in scores.select_dtypes("number"):
        if f"{name} theirs" not in shared:
            continue
        pairs = shared[[name, f"{name} theirs"]].dropna()
        if len(pairs) < 2:
            continue
        ours, theirs = pairs[name], pairs[f"{name} theirs"]
        found |= paired_difference(ours, theirs, seed=seed).metrics(f"paired/{name}")
        found[f"paired/{name}_p"] = paired_p_value(ours, theirs, seed=seed)
    return found
