"""Splits that no tag set and no near-duplicate caption straddles, with the same share of every tag, and their proof."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import hashing

SPLITS = ("train", "validation", "test")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SAMPLE_SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
NEAR_DUPLICATE = 0.5
NEAR_EQUAL = 0.8

_TAG_SETS = ("tags", "faithful_tags")
_CAPTIONS = ("caption", "faithful_caption")
_BLOCK = 512


def near_duplicates(captions: Sequence[str], *, threshold: float = NEAR_DUPLICATE) -> npt.NDArray[np.int64]:
    """Pairs of captions that are nearly the same, by the Jaccard index of their sets of three-word runs.

    Args:
        captions: n texts; case and punctuation do not count.
        threshold: Least Jaccard index of a near-duplicate, in (0, 1]; 1 asks for the same runs.

    Returns:
        Array ``(pairs, 2)`` of row numbers, the smaller first. Captions of fewer than three words match only their
        like, an empty one matches none.

    >>> near_duplicates(["A slow waltz for harp.", "a slow waltz for harp", "A fast polka."]).tolist()
    [[0, 1]]
    """
    if not any(captions):
        return np.empty((0, 2), dtype=np.int64)
    vectoriser = CountVectorizer(ngram_range=(3, 3), binary=True, token_pattern=r"(?u)\b\w+\b")
    padded = [f"startmark {caption} endmark" for caption in captions]
    return _close(vectoriser.fit_transform(padded).tocsr(), threshold=threshold)


def near_equal(labels: npt.NDArray[np.bool_], *, threshold: float = NEAR_EQUAL) -> npt.NDArray[np.int64]:
    """Pairs of tag sets that are equal or nearly so, by their Jaccard index.

    Args:
        labels: ``(n, tags)``.
        threshold: Least Jaccard index of a near-equal pair, in (0, 1].

    Returns:
        Array ``(pairs, 2)`` of row numbers, the smaller first; an empty set is near no other.

    >>> near_equal(np.array([[1, 1, 1, 1, 0], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=bool)).tolist()
    [[0, 2]]
    """
    return _close(sparse.csr_matrix(labels, dtype=np.int32), threshold=threshold)


def group_rows(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Group number of each row: rows with the same tag set or near-duplicate captions share one, transitively.

    The faithful tag sets and captions count as well as the whole ones; an empty one is like no other.
    """
    pairs = []
    for column in _TAG_SETS:
        sets = pd.Series([tuple(tags) or (row,) for row, tags in enumerate(frame[column])])
        same = pd.Series(pd.factorize(sets)[0])
        pairs.append(np.stack([same.groupby(same).transform(lambda rows: rows.index[0]), same.index], axis=1))
    for column in _CAPTIONS:
        pairs.append(near_duplicates(list(frame[column])))
    return _components(np.concatenate(pairs), len(frame))


def _close(items: sparse.csr_matrix, *, threshold: float) -> npt.NDArray[np.int64]:
    """Pairs of rows of a matrix of 0 and 1 whose Jaccard index reaches the threshold, the smaller number first."""
    sizes = np.asarray(items.sum(axis=1)).ravel()
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, items.shape[0], _BLOCK):
        shared = (items[start : start + _BLOCK] @ items.T).tocoo()
        rows, columns = shared.row + start, shared.col
        close = shared.data >= threshold * (sizes[rows] + sizes[columns] - shared.data)
        close &= rows < columns
        found.append(np.stack([rows[close], columns[close]], axis=1))
    return np.concatenate(found)


def _components(pairs: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    graph = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def stratify(
    labels: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64], *, shares: Sequence[float], seed: int
) -> npt.NDArray[np.int64]:
    """Divide groups of rows so that each part gets its share of the rows of every label.

    Iterative stratification over groups: the label with the fewest rows left goes first, and each of its groups, the
    largest first, to the part that still wants most rows of the label, then most rows at all; a draw breaks ties.

    Args:
        labels: ``(n, labels)``.
        groups: Group number of each row, ``(n,)``.
        shares: Share of each part, summing to 1.
        seed: Seed of the draws.

    Returns:
        Part of each row, ``(n,)``.

    References:
        Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data. ECML PKDD 2011.
    """
    numbers, members = np.unique(groups, return_inverse=True)
    rows = np.bincount(members)
    per_group = np.zeros((len(numbers), labels.shape[1]))
    np.add.at(per_group, members, labels)
    share = np.asarray(shares)
    wanted, wanted_rows = share[:, None] * per_group.sum(axis=0), share * rows.sum()
    left = (per_group > 0).sum(axis=0)
    part = np.full(len(numbers), -1)
    generator = np.random.default_rng(seed)
    draws = generator.random((len(numbers), len(share)))
    order = generator.permutation(len(numbers))
    while (part < 0).any():
        open_labels = np.flatnonzero(left > 0)
        waiting = order[part[order] < 0]
        if len(open_labels):
            label = open_labels[np.argmin(left[open_labels])]
            chosen = waiting[per_group[waiting, label] > 0]
        else:
            label, chosen = None, waiting
        for group in chosen[np.argsort(-rows[chosen], kind="stable")]:
            first = wanted_rows if label is None else wanted[:, label]
            target = np.lexsort((draws[group], wanted_rows, first))[-1]
            part[group] = target
            wanted[target] -= per_group[group]
            wanted_rows[target] -= rows[group]
            left -= per_group[group] > 0
    return part[members]


def split_rows(frame: pd.DataFrame, *, taxonomy: Taxonomy, split: str, seed: int) -> dict[str, pd.DataFrame]:
    """Divide distilled rows into ``train``, ``validation`` and ``test`` (80, 10 and 10 %).

    Args:
        frame: Rows of ``corpus.distil``.
        taxonomy: Columns of the stratification.
        split: ``grouped``, or ``official``: the rows that carry MusicCaps' evaluation flag are the test set, rows of
            their groups without it are left out, and the others are divided 8 to 1.
        seed: Seed of the draws.

    Raises:
        InputError: If ``split`` is another word, or a part would be empty.
    """
    if split not in ("grouped", "official"):
        raise InputError(f"expected split grouped or official, got {split!r}")
    groups = group_rows(frame)
    labels = taxonomy.encode(list(frame["tags"]))
    if split == "grouped":
        part = stratify(labels, groups, shares=list(SHARES.values()), seed=seed)
    else:
        flagged = frame["is_eval"].to_numpy(dtype=bool)
        part = np.where(flagged, SPLITS.index("test"), -1)
        free = ~np.isin(groups, groups[flagged])
        shares = [SHARES["train"] / (1 - SHARES["test"]), SHARES["validation"] / (1 - SHARES["test"])]
        if free.any():
            part[free] = stratify(labels[free], groups[free], shares=shares, seed=seed)
    parts = {name: frame[part == number].reset_index(drop=True) for number, name in enumerate(SPLITS)}
    empty = [name for name, rows in parts.items() if rows.empty]
    if empty:
        raise InputError(f"expected enough rows for every split, got none for {empty[0]} of {len(frame)} rows")
    return parts


def split_samples(labels: npt.NDArray[np.bool_]) -> list[str]:
    """Split of each sampled tag set: ``train``, ``validation`` or ``test`` (70, 15 and 15 %), stratified by tag.

    Sets that are equal or nearly so share a split. It depends on the sets alone, neither on their order nor on a seed.

    Args:
        labels: ``(n, tags)``.
    """
    order = np.lexsort(labels.T)
    groups = _components(near_equal(labels[order]), len(labels))
    part = np.empty(len(labels), dtype=np.int64)
    part[order] = stratify(labels[order], groups, shares=list(SAMPLE_SHARES.values()), seed=0)
    return [SPLITS[number] for number in part]


def split_clips(genres: Sequence[str | None], groups: Sequence[str], *, seed: int) -> list[str]:
    """Split of clips that carry none, as foreign ones: 80, 10 and 10 % of each genre, groups together.

    Args:
        genres: Of each clip, None for none.
        groups: Of each clip.
        seed: Of the draw.
    """
    names, number = np.unique([genre or "" for genre in genres], return_inverse=True)
    of_group = pd.factorize(np.array(groups, dtype=object))[0]
    part = stratify(np.eye(len(names), dtype=bool)[number], of_group, shares=list(SHARES.values()), seed=seed)
    return [SPLITS[place] for place in part]


def split_by_hash(tags: Iterable[str]) -> str:
    """Split of a tag set by its hash alone (90, 5 and 5 %): a corpus that is written anew keeps it."""
    share = hashing.share_of(sorted(tags))
    return "validation" if share < 0.05 else "test" if share < 0.1 else "train"


def certificate(
    files: Sequence[Path], parts: Mapping[str, pd.DataFrame], *, taxonomy: Taxonomy, facts: Mapping[str, object]
) -> dict[str, object]:
    """Proof of a split: hashes of its files, overlaps of its parts (all 0 when sound) and counts of every tag.

    Overlaps are of ids, of equal tag sets and captions, whole and faithful, and of near-duplicate captions; where the
    rows have no captions, of near-equal tag sets.

    Args:
        files: Hold the rows of all parts.
        parts: Rows by split.
        taxonomy: Tags to count.
        facts: What else to state: seed, corpus, counts of the distillation.

    Raises:
        InputError: If an id, a tag set, or a pair of near duplicates stands in two parts.
    """
    whole = pd.concat(parts.values(), ignore_index=True)
    where = np.repeat(list(parts), [len(rows) for rows in parts.values()])
    texts = [column for column in _CAPTIONS if column in whole]
    values = {"ids": whole["id"]} | {column: whole[column].map(tuple) for column in _TAG_SETS if column in whole}
    values |= {column: whole[column] for column in texts}
    close = {f"near_duplicates_of_{column}": near_duplicates(list(whole[column])) for column in texts}
    if not texts:
        close["near_equal_tags"] = near_equal(taxonomy.encode(list(whole["tags"])))
    overlaps: dict[str, dict[str, int]] = {}
    for one, other in combinations(parts, 2):
        counts = {
            name: len(set(column[where == one]) & set(column[where == other]) - {"", ()})
            for name, column in values.items()
        }
        for name, pairs in close.items():
            across = np.isin(where[pairs], [one, other]).all(axis=1) & (where[pairs[:, 0]] != where[pairs[:, 1]])
            counts[name] = int(across.sum())
        overlaps[f"{one}/{other}"] = counts
    if any(number for counts in overlaps.values() for number in counts.values()):
        raise InputError(f"expected splits that share nothing, got overlaps {overlaps}")
    counted = {name: taxonomy.encode(list(rows["tags"])).sum(axis=0) for name, rows in parts.items()}
    return {
        **facts,
        "rows": {name: len(rows) for name, rows in parts.items()},
        "sha256": {path.stem: hashing.file_sha256(path) for path in files},
        "overlaps": overlaps,
        "tags": {tag: {name: int(counted[name][at]) for name in parts} for at, tag in enumerate(taxonomy.tags)},
    }


def write_samples(
    folder: Path, labels: npt.NDArray[np.bool_], *, taxonomy: Taxonomy, seed: int, facts: Mapping[str, object]
) -> pd.DataFrame:
    """Write sampled tag sets as ``samples.parquet``, and the certificate of their split beside it.

    Args:
        folder: Where to.
        labels: ``(n, tags)``.
        taxonomy: Names the columns.
        seed: Seed that the sets were drawn with, a part of their ids.
        facts: What else the certificate states.

    Returns:
        Columns ``id``, ``tags``, ``implied`` (ancestors of the tags that are not among them), ``seed`` and ``split``.
    """
    tags = taxonomy.decode(labels)
    columns = {"id": [tag_set_id(one, seed=seed) for one in tags], "tags": tags, "seed": seed}
    samples = pd.DataFrame({**columns, "implied": list(map(taxonomy.implied, tags)), "split": split_samples(labels)})
    path = folder / "samples.parquet"
    samples.to_parquet(path, index=False)
    parts = {name: samples[samples["split"] == name] for name in SPLITS}
    write_certificate(folder, certificate([path], parts, taxonomy=taxonomy, facts=facts))
    return samples


def write_certificate(folder: Path, facts: Mapping[str, object]) -> None:
    """Write ``split_certificate.json`` beside the parts that it describes."""
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    (folder / "split_certificate.json").write_text(text, encoding="utf-8")
