"""Captions to learn from: the project's own, a corpus's or anyone's, each with the tags that its text asserts.

Tags are read from a caption's own text, so that it is faithful to them by construction. What a captioner should not
imitate is left out and counted.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pandas as pd

from conceptcaps.captions import readability
from conceptcaps.captions.caption_grammar import Grammar
from conceptcaps.errors import InputError
from conceptcaps.tags import dialect, phrases
from conceptcaps.tags.corpus import clean_caption
from conceptcaps.tags.splits import split_by_hash
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id

BUILTIN_COUNT = 2000
FURTHER_COUNT = 10_000
_LEAST_TAGS, _MOST_WORDS = 3, 90
_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?")
_QUALITY = re.compile(
    r"\b(?:quality|fidelity|recorded|amateur|noisy|hiss\w*|in mono|stereo|background noise|static|low[- ]?fi|lo-?fi)\b",
    re.IGNORECASE,
)
_SEEN = re.compile(r"\b(?:video|footage|on screen|clip|youtube|tutorial|demonstrat\w+|seen|visuals?)\b", re.IGNORECASE)
_GAME = re.compile(r"\bvideo[- ]games?\b", re.IGNORECASE)
_SUPPOSED = re.compile(
    r"\b(?:could|would|might|may|maybe|perhaps|probably|possibly|likely|seems?|as if|as though|suitable|ideal for|"
    r"perfect for|can be (?:used|played|heard (?:in|at))|you(?:'d| would)|imagine|if)\b",
    re.IGNORECASE,
)
_NEGATORS = re.compile(
    r"\b(?:no|not|without|lacks?|lacking|never|nor|neither|minus|devoid of|sans|absent|nothing|none|any)\b|n't\b",
    re.IGNORECASE,
)


class Corpus(NamedTuple):
    """Captions to learn from.

    Attributes:
        rows: Columns ``id``, ``caption``, ``tags`` (sorted, all said in the caption and nothing else said) and
            ``split`` (``train``, ``validation`` or ``test``).
        left_out: Captions that were left out, by reason; and ``read``, all of them.
    """

    rows: pd.DataFrame
    left_out: dict[str, int]


def load(source: str, *, taxonomy: Taxonomy, seed: int, tag_sets: Sequence[Collection[str]] = ()) -> Corpus:
    """Read captions to learn from.

    Args:
        source: ``builtin``, written by the project's own grammar; a folder of ``tag_sets``, whose faithful captions are
            taken with their splits; or a CSV or Parquet file or ``<owner>/<name>@<revision>`` on the Hugging Face hub
            with a column ``caption`` or ``prediction``. Where it has tags too, those of the text are read all the same.
        taxonomy: Reads the tags.
        seed: Of the grammar's draws. Of other sources nothing is drawn.
        tag_sets: Every other caption of the grammar is written for one of these, so that what is learnt has the shapes
            of what will be asked; the others are for sets that it draws itself, rare tags among them.

    Raises:
        InputError: If the source is none of these or nothing in it can be learnt.
    """
    if source == "builtin":
        grammar = Grammar(np.random.default_rng(seed))
        texts = _by_grammar(grammar, tag_sets, taxonomy=taxonomy, seed=seed)
        return select(texts, taxonomy=taxonomy, most=BUILTIN_COUNT)
    if Path(source).is_dir() and (Path(source) / "train.parquet").exists():
        return _of_tag_sets(Path(source))
    return select(_read(source), taxonomy=taxonomy)


def load_for(folder: Path, *, source: str, taxonomy: Taxonomy, seed: int) -> pd.DataFrame:
    """Rows of ``load`` for a folder of tag sets: the built-in captions are written for its training sets.

    Args:
        folder: Written by ``distill_tags``.
        source: As for ``load``, or ``tag_sets`` for the captions of this folder.
        taxonomy: Reads the tags.
        seed: Of the grammar's draws.
    """
    sets = pd.read_parquet(folder / "train.parquet", columns=["tags"])["tags"].tolist()
    return load(str(folder) if source == "tag_sets" else source, taxonomy=taxonomy, seed=seed, tag_sets=sets).rows


def further(source: str, *, seed: int) -> list[str]:
    """Further captions of the built-in grammar, for the idiom alone, not for training; none for other sources.

    1,500 captions of the grammar hold all runs of three words (``idiom``) of 67 % of other sentences, 11,600 of 90 %.

    Args:
        source: As for ``load``.
        seed: Of the grammar's draws, which are not those of ``load``.
    """
    grammar = Grammar(np.random.default_rng((seed, FURTHER_COUNT)))
    return [grammar.caption() for _ in range(FURTHER_COUNT if source == "builtin" else 0)]


def select(captions: Iterable[str], *, taxonomy: Taxonomy, most: int | None = None) -> Corpus:
    """Keep the captions that are worth learning, with the tags that they assert.

    Args:
        captions: Texts; reading ends once ``most`` are kept.
        taxonomy: Reads the tags.
        most: Captions to keep at most; None keeps all.

    Raises:
        InputError: If none is kept.
    """
    counts: Counter[str] = Counter(read=0)
    kept: dict[str, dict[str, object]] = {}
    for caption in captions:
        counts["read"] += 1
        text, dropped = trimmed(" ".join(str(caption).split()))
        counts.update(dropped)
        reason = fault(text, taxonomy=taxonomy)
        if not reason and _key(text) in kept:
            reason = "told before"
        if reason:
            counts[reason] += 1
            continue
        tags = taxonomy.find(text)
        own = tag_set_id(tags, caption=text)
        kept[_key(text)] = {"id": own, "caption": text, "tags": tags, "split": split_by_hash(tags)}
        if len(kept) == most:
            break
    if not kept:
        raise InputError(f"expected captions worth learning, got none of {counts['read']}: {dict(counts)}")
    return Corpus(pd.DataFrame(list(kept.values())), dict(counts))


def fault(caption: str, *, taxonomy: Taxonomy) -> str:
    """Why a caption is not worth learning; "" if it is.

    >>> fault("A slow jazz tune for piano, without a guitar.", taxonomy=Taxonomy.load())
    'denial'
    """
    if not caption.strip():
        return "empty"
    if subject := beside_the_music(caption):
        return subject
    if denied(caption, taxonomy=taxonomy):
        return "denial"
    if readability.doubled_words(caption):
        return "doubled word"
    if readability.role_faults(caption):
        return "role"
    tags = taxonomy.find(caption)
    if len(tags) < _LEAST_TAGS:
        return f"under {_LEAST_TAGS} tags"
    if len(caption.split()) > _MOST_WORDS:
        return f"over {_MOST_WORDS} words"
    return "contradiction" if taxonomy.contradictions(tags) else ""


def trimmed(caption: str) -> tuple[str, Counter[str]]:
    """A caption without its later sentences about recording quality, a video or what might be; and how many there were.

    >>> trimmed("A slow tune for piano. It could be used in a film.")
    ('A slow tune for piano.', Counter({'sentences: hypothetical': 1}))
    """
    first, *later = phrases.sentences(clean_caption(caption)) or [""]
    subjects = [beside_the_music(sentence) for sentence in later]
    kept = [sentence for sentence, subject in zip(later, subjects, strict=True) if not subject]
    return " ".join([first, *kept]), Counter(f"sentences: {subject}" for subject in subjects if subject)


def beside_the_music(text: str) -> str:
    """What a text is about beside the music: "recording quality", "video" or "hypothetical"; "" if nothing is found."""
    plain = _GAME.sub("game", text)
    subjects = {"recording quality": _QUALITY, "video": _SEEN, "hypothetical": _SUPPOSED}
    return next((name for name, pattern in subjects.items() if pattern.search(plain)), "")


def denied(caption: str, *, taxonomy: Taxonomy) -> list[str]:
    """Tags that a caption takes back ("no piano") where the taxonomy has no tag for their absence, sorted."""
    found: set[str] = set()
    for sentence in phrases.sentences(caption):
        if _NEGATORS.search(sentence):
            said = set(taxonomy.find(sentence))
            absences = {tag for tag in said if taxonomy.polarity(tag) == "absent"}
            rightly = {tag for group in taxonomy.exclusions if absences & set(group) for tag in group}
            found |= set(taxonomy.find(_NEGATORS.sub(" ", sentence))) - taxonomy.closure(said) - rightly
    return sorted(found)


def _by_grammar(
    grammar: Grammar, tag_sets: Sequence[Collection[str]], *, taxonomy: Taxonomy, seed: int
) -> Iterator[str]:
    order = np.random.default_rng(seed).permutation(len(tag_sets))
    meanings = dialect.meanings(taxonomy) or {}
    for turn in range(4 * BUILTIN_COUNT):
        if turn % 2 and len(tag_sets):
            tags = sorted(set(tag_sets[order[turn // 2 % len(order)]]))
            own, known = dialect.translated(tags, taxonomy)
            other = [tag for tag in tags if len(meanings.get(tag, ())) == 1 and meanings[tag] != (tag,)]
            called = {meanings[tag][0]: tag for tag in other}  # of two names of one meaning the last
            yield grammar.caption(set(own) - {above for tag in own for above in known.ancestors(tag)}, called=called)
        else:
            yield grammar.caption()


def _of_tag_sets(folder: Path) -> Corpus:
    parts, counts = [], Counter(read=0)
    for split in ("train", "validation", "test"):
        rows = pd.read_parquet(folder / f"{split}.parquet")
        counts["read"] += len(rows)
        full = rows[rows["faithful_caption"] != ""]
        counts["empty"] += len(rows) - len(full)
        parts.append(
            pd.DataFrame(
                {
                    "id": full["id"],
                    "caption": full["faithful_caption"],
                    "tags": [list(tags) for tags in full["faithful_tags"]],
                    "split": split,
                }
            )
        )
    return Corpus(pd.concat(parts, ignore_index=True), dict(counts))


def _read(source: str) -> list[str]:
    hub = _HUB.fullmatch(source)
    if source.endswith(".csv") and Path(source).is_file():
        frame = pd.read_csv(source, keep_default_na=False)
    elif source.endswith(".parquet") and Path(source).is_file():
        frame = pd.read_parquet(source)
    elif hub is not None and not Path(source).exists():
        frame = datasets.load_dataset(hub["id"], revision=hub["revision"], split="train").to_pandas()
    else:
        raise InputError(
            f"expected builtin, a folder of tag_sets, a CSV or Parquet file, or <owner>/<name>, got {source!r}"
        )
    column = next((name for name in ("caption", "prediction", "text") if name in frame), None)
    if column is None:
        raise InputError(
            f"expected a column caption or prediction in {source}, got {', '.join(map(str, frame.columns))}"
        )
    return ["" if text is None else str(text) for text in frame[column]]


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()
