"""Captioned corpora: reading, cleaning, distilling to canonical tags, and captions that say no more than their tags."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import datasets
import pandas as pd

from conceptcaps.errors import InputError
from conceptcaps.tags import corpus_table, phrases
from conceptcaps.tags.demo_corpus import demo_corpus
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id

_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?")
_QUALITY = re.compile(
    r"\b(?:(?:very|really|extremely|quite|of)\s+)*(?:low|poor|bad|inferior|average|mediocre)[- ]+"
    r"(?:(?:in\s+)?(?:audio|sound|recording)[- ]+)?(?:quality|fidelity)\b\s*(?:audio\b)?|\bamateur\b",
    re.IGNORECASE,
)
_ABOUT_QUALITY = re.compile(
    r"\b(?:noisy|mono|quality|fidelity|unbalanced|imbalanced|stereo image|hiss(?:es|ing)?|recorded with)\b"
    r"|static noise",
    re.IGNORECASE,
)
_SAYS_MORE = re.compile(r"\b(?:features?|contains?|consists?|includes?|plays?|singing|sings)\b", re.IGNORECASE)
_THEN_SOUNDS = re.compile(
    r"^.*\b(?:noisy|mono|image|channel|phone)\b.*?\b(?:it|they)(?: also)? (?=sounds? )", re.IGNORECASE
)


class Coverage(NamedTuple):
    """What a taxonomy makes of a corpus's aspects.

    Attributes:
        share: Aspect occurrences that map to a tag, 0 to 1 (best).
        distinct: The same over distinct aspects, in lower case.
        covered: Columns ``aspect``, ``count`` and ``tags`` (separated by commas), most frequent first.
        uncovered: Columns ``aspect`` and ``count``.
    """

    share: float
    distinct: float
    covered: pd.DataFrame
    uncovered: pd.DataFrame


def coverage(frame: pd.DataFrame, *, taxonomy: Taxonomy) -> Coverage:
    """Which aspects of a corpus (column ``aspects``) map to tags."""
    counted = Counter(aspect.strip().lower() for aspects in frame["aspects"] for aspect in aspects)
    table = pd.DataFrame(counted.most_common(), columns=["aspect", "count"])
    table["tags"] = [", ".join(taxonomy.match(aspect)) for aspect in table["aspect"]]
    covered, uncovered = table[table["tags"] != ""], table[table["tags"] == ""].drop(columns="tags")
    return Coverage(
        share=float(covered["count"].sum() / max(table["count"].sum(), 1)),
        distinct=len(covered) / max(len(table), 1),
        covered=covered.reset_index(drop=True),
        uncovered=uncovered.reset_index(drop=True),
    )


class Distilled(NamedTuple):
    """What ``distil`` gives.

    Attributes:
        rows: Columns ``id``, ``tags``, ``implied`` (ancestors of the tags that are not among them: true, though the
            row does not name them), ``caption``, ``aspects``, ``row_id``, ``is_eval``, ``faithful_caption`` and
            ``faithful_tags``; one row per kept row of the corpus.
        uncovered: Columns ``aspect`` and ``count``: lower-case aspects that map to no tag, most frequent first.
        metrics: ``coverage`` (share of aspect occurrences that map to a tag), ``distinct_coverage`` (the same over
            distinct aspects), ``kept`` (share of rows with enough categories), ``tags_per_row`` (mean over kept rows).
        counts: Rows read, kept, without enough categories, with contradictions, with cleaned captions, double; and
            what was done to make captions faithful.
    """

    rows: pd.DataFrame
    uncovered: pd.DataFrame
    metrics: dict[str, float]
    counts: dict[str, int]


def load_corpus(
    corpus: str,
    *,
    cache: str | Path | None = None,
    columns: Mapping[str, str] = corpus_table.AUTO,
    taxonomy: Taxonomy | None = None,
) -> pd.DataFrame:
    """Read a corpus of captions with aspects.

    Args:
        corpus: ``demo``, the path of a CSV or Parquet file, or ``<owner>/<name>`` or ``<owner>/<name>@<revision>`` on
            the Hugging Face hub, whose split ``train`` is read.
        cache: Folder for what the hub sends; None is the library's own.
        columns: Its column of ``caption``, ``aspects`` and ``id``: a name, or ``auto`` for the first known one
            (``corpus_table``) that it has; rows are counted where it has no id. Of aspects also ``none``: they are what
            the taxonomy finds in the captions.
        taxonomy: Reads captions where there is no column of aspects; None is the built-in one.

    Returns:
        Columns ``row_id``, ``caption``, ``aspects`` (list of strings) and ``is_eval`` (MusicCaps' evaluation flag,
        False where the corpus has none).

    Raises:
        InputError: If there is no such corpus, a column is missing, a row does not parse, or there are no rows.
    """
    if corpus == "demo":
        frame = demo_corpus()
    elif Path(corpus).is_file():
        frame = corpus_table.read(Path(corpus))
    else:
        hub = _HUB.fullmatch(corpus)
        if hub is None or corpus.endswith((".csv", ".parquet")):
            raise InputError(
                "expected demo, a CSV file or a Parquet file, or <owner>/<name>@<revision> of a hub data set, "
                f"got {corpus!r}"
            )
        cache_dir = None if cache is None else str(cache)
        loaded = datasets.load_dataset(hub["id"], revision=hub["revision"], split="train", cache_dir=cache_dir)
        frame = loaded.to_pandas()
    rows = corpus_table.parse_rows(frame, source=corpus, columns=columns)
    if columns["aspects"] == "none":
        reader = taxonomy or Taxonomy.load()
        rows["aspects"] = [reader.find(caption) for caption in rows["caption"]]
    return rows


def clean_caption(caption: str) -> str:
    """A caption without remarks on the quality of its recording, which no generator should imitate.

    A caption of nothing but such remarks keeps its sentences.

    >>> clean_caption("The low quality recording features a soft piano. The recording is noisy and in mono.")
    'The recording features a soft piano.'
    """
    sentences = [_THEN_SOUNDS.sub("It ", sentence) for sentence in phrases.sentences(caption)]
    kept = [text for text in sentences if not _ABOUT_QUALITY.search(_QUALITY.sub("", text)) or _SAYS_MORE.search(text)]
    kept = [text for text in kept if not _QUALITY.search(text) or _SAYS_MORE.search(text)]
    text = re.sub(r"\s+", " ", _QUALITY.sub("", " ".join(kept or sentences))).strip()
    text = re.sub(r"\s+([.,;!?])", r"\1", text)
    return text[:1].upper() + text[1:]


def resolve_contradictions(tags: Iterable[str], *, caption: str, taxonomy: Taxonomy) -> list[str]:
    """Make a set consistent with the taxonomy's exclusions.

    A tag of absence yields to a tag of presence: "no voices" next to "male voice" speaks of part of the clip. Of any
    other group the tags that the caption asserts stay if that leaves one; otherwise the whole group is dropped, because
    the row does not say which of them is true.
    """
    kept = set(tags)
    said = taxonomy.closure(taxonomy.find(caption))
    for clash in taxonomy.contradictions(kept):
        clash_now = [tag for tag in clash if tag in kept]
        if len(clash_now) < 2:
            continue
        present = [tag for tag in clash_now if taxonomy.polarity(tag) == "present"]
        if 0 < len(present) < len(clash_now):
            kept -= set(clash_now) - set(present)
        else:
            confirmed = [tag for tag in clash_now if tag in said]
            kept -= set(clash_now) if len(confirmed) != 1 else set(clash_now) - set(confirmed)
    return sorted(kept)


def faithful_caption(caption: str, tags: Iterable[str], *, taxonomy: Taxonomy) -> tuple[str, list[str], dict[str, int]]:
    """Make a caption and its tags say the same, so that a captioner learns neither to invent nor to omit.

    A sentence that names a concept outside the set is dropped, unless it is the only one that says some tag of the
    set and its concepts contradict none: then those join. Tags that the kept sentences do not say leave the set, for
    their ancestor where the sentences say that.

    Args:
        caption: The caption.
        tags: Its canonical tags.
        taxonomy: Finds what each sentence asserts.

    Returns:
        The caption (empty if no sentence can stay), its sorted tags (all said, nothing else said but their ancestors)
        and the numbers of sentences ``dropped``, tags ``joined`` and tags ``unsaid``.
    """
    asked = set(tags)
    sentences = phrases.sentences(caption)
    said = [set(taxonomy.find(sentence)) for sentence in sentences]
    kept = [found <= taxonomy.closure(asked) for found in said]
    joined: set[str] = set()
    for place, found in enumerate(said):
        elsewhere = taxonomy.closure(tag for other, there in enumerate(said) if kept[other] for tag in there)
        if kept[place] or not (asked & taxonomy.closure(found)) - elsewhere:
            continue
        new = found - taxonomy.closure(asked | joined)
        if not taxonomy.contradictions(asked | joined | new):
            kept[place] = True
            joined |= new
    spoken = {tag for there, stays in zip(said, kept, strict=True) if stays for tag in there}
    faithful = (asked | joined) & taxonomy.closure(spoken)
    faithful |= spoken - taxonomy.closure(faithful)  # "guitar" was said where electric guitar was asked for
    text = " ".join(sentence for sentence, stays in zip(sentences, kept, strict=True) if stays) if faithful else ""
    changes = {"dropped": kept.count(False), "joined": len(joined), "unsaid": len(asked - faithful)}
    return text, sorted(faithful), changes


def distil(frame: pd.DataFrame, *, taxonomy: Taxonomy, min_categories: int) -> Distilled:
    """Map the aspects of a corpus to canonical tags and keep the rows that say enough.

    Args:
        frame: Columns of ``load_corpus``.
        taxonomy: Maps aspects to tags.
        min_categories: Categories that a row's tags must touch, 1 to 4.

    Raises:
        InputError: If ``min_categories`` is out of range, or no row is left.
    """
    if not 1 <= min_categories <= len(taxonomy.categories):
        raise InputError(f"expected min_categories from 1 to {len(taxonomy.categories)}, got {min_categories}")
    matched = [[taxonomy.match(aspect) for aspect in aspects] for aspects in frame["aspects"]]
    covers = coverage(frame, taxonomy=taxonomy)
    counts: Counter[str] = Counter(rows=len(frame), kept=0, few_categories=0, contradictory=0, cleaned=0, double=0)
    counts.update(faithful_changed=0, faithful_empty=0, dropped=0, joined=0, unsaid=0)
    rows: dict[str, dict[str, object]] = {}
    tags_kept = 0
    for row, found in zip(frame.to_dict("records"), matched, strict=True):
        caption = clean_caption(row["caption"])
        mentioned = {tag for tags in found for tag in tags}
        tags = resolve_contradictions(mentioned, caption=caption, taxonomy=taxonomy)
        counts["contradictory"] += set(tags) != mentioned
        if len({taxonomy.category(tag) for tag in tags}) < min_categories:
            counts["few_categories"] += 1
            continue
        text, said, changes = faithful_caption(caption, tags, taxonomy=taxonomy)
        row_id = tag_set_id(tags, caption=caption)
        counts["double"] += row_id in rows
        if row_id in rows:
            continue
        tags_kept += len(tags)
        counts.update(changes, kept=1, cleaned=caption != row["caption"])
        counts.update(faithful_changed=text != caption or said != tags, faithful_empty=not text)
        rows[row_id] = {"id": row_id, "tags": tags, "caption": caption, "aspects": row["aspects"]}
        rows[row_id] |= {"row_id": row["row_id"], "is_eval": row["is_eval"]}
        rows[row_id] |= {"faithful_caption": text, "faithful_tags": said, "implied": taxonomy.implied(tags)}
    if not rows:
        raise InputError(f"expected a row with tags of {min_categories} categories, got none in {len(frame)} rows")
    metrics = {
        "coverage": covers.share,
        "distinct_coverage": covers.distinct,
        "kept": 1 - counts["few_categories"] / len(frame),
        "tags_per_row": tags_kept / len(rows),
    }
    return Distilled(pd.DataFrame(list(rows.values())), covers.uncovered, metrics, dict(counts))
