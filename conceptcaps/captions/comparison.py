"""Captions of several writers side by side: differences with tests, and how far a judge can be trusted."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from conceptcaps.errors import InputError
from conceptcaps.results.intervals import bootstrap_mean, paired_difference, paired_p_value
from conceptcaps.tags import phrases
from conceptcaps.tags.taxonomy import Taxonomy

Floats = NDArray[np.float64]
Prefer = Callable[[Sequence[Sequence[str]], Sequence[str], Sequence[str]], Floats]
"""How far a judge prefers each of the second argument's captions to the third's, given their tags: 0 to 1, or NaN."""

PLANTED = ("swapped", "shuffled", "doubled")
LEAST = 10  # captions of a writer


def sources(text: str) -> dict[str, str]:
    """Writers by name, from ``name=source,name=source``.

    Raises:
        InputError: If there are fewer than two, a name is missing, or one stands twice.
    """
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if (
        len(pairs) < 2
        or not all(name and source for name, _, source in pairs)
        or len({name for name, *_ in pairs}) < len(pairs)
    ):
        raise InputError(f"expected name=source,name=source with two names or more, each once, got {text!r}")
    return {name: source for name, _, source in pairs}


def judged(items: pd.DataFrame, captions: pd.DataFrame, real: pd.DataFrame, *, prefer: Prefer | None) -> pd.DataFrame:
    """Scores of ``evaluation.evaluate``; with a judge, how far it prefers each caption to its reference (``judge``)."""
    scores = items.drop(columns=["id", "error", "reference_jaccard"])
    if prefer is None:
        return scores
    alive = items["error"] == ""
    texts = real.set_index("id")["caption"]
    nearest = [texts[own] for own in items.loc[alive, "reference_id"]]
    scores.loc[alive, "judge"] = prefer(
        captions.loc[alive, "tags"].tolist(), captions.loc[alive, "caption"].tolist(), nearest
    )
    return scores


def compare(items: Mapping[str, pd.DataFrame], *, seed: int) -> pd.DataFrame:
    """Every two writers' mean scores, their difference with a 95 % interval, and a test of it.

    Where two writers share ten samples and references or more, those are compared in pairs (sign flips); otherwise all
    of one with all of the other (permutations of the label). q-values hold over the whole table.

    Args:
        items: For each writer the columns ``sample_id``, ``reference_id`` and scores.
        seed: Of resamples and permutations.

    Returns:
        Columns ``score``, ``first``, ``second``, ``first_mean``, ``second_mean``, ``difference``, ``low``, ``high``,
        ``p_value``, ``q_value``, ``n`` (pairs, or captions of the smaller side) and ``paired``.

    Raises:
        InputError: If there are fewer than two writers, one has fewer than ten captions with a score, or no two have
            ten captions each with the same score.

    References:
        Benjamini and Hochberg, Controlling the false discovery rate (1995).
    """
    scored = {name: len(frame.select_dtypes("number").dropna(how="all")) for name, frame in items.items()}
    small = {name: number for name, number in scored.items() if number < LEAST}
    if len(items) < 2 or small:
        raise InputError(f"expected two writers or more with {LEAST} captions each, got {small or list(items)}")
    rows = []
    for (first, ours), (second, theirs) in combinations(items.items(), 2):
        shared = ours.merge(theirs, on=["sample_id", "reference_id"], suffixes=("", " theirs"))
        paired = len(shared) >= LEAST
        for score in ours.select_dtypes("number"):
            if score not in theirs:
                continue
            if paired:
                both = shared[[score, f"{score} theirs"]].dropna()
                one, other = both[score].to_numpy(float), both[f"{score} theirs"].to_numpy(float)
            else:
                one, other = ours[score].dropna().to_numpy(float), theirs[score].dropna().to_numpy(float)
            if min(len(one), len(other)) < LEAST:
                continue
            found = (_in_pairs if paired else _apart)(one, other, seed=seed)
            rows.append({
                "score": score, "first": first, "second": second, "first_mean": one.mean(), "second_mean": other.mean(),
                **found, "n": min(len(one), len(other)), "paired": paired,
            })  # fmt: skip
    if not rows:
        raise InputError(f"expected a score that two writers have for {LEAST} captions each, got none of {list(items)}")
    table = pd.DataFrame(rows)
    table.insert(8, "q_value", stats.false_discovery_control(table["p_value"]))
    return table


def means(items: Mapping[str, pd.DataFrame], *, seed: int) -> pd.DataFrame:
    """Mean of each writer's scores with intervals: columns ``writer``, ``score``, ``mean``, ``low``, ``high``."""
    rows = []
    for writer, frame in items.items():
        for score in frame.select_dtypes("number"):
            if (values := frame[score].dropna()).size >= LEAST:
                interval = bootstrap_mean(values, seed=seed)
                rows.append({
                    "writer": writer, "score": score, "mean": interval.mean, "low": interval.low, "high": interval.high
                })  # fmt: skip
    return pd.DataFrame(rows)


def plant(caption: str, tags: Sequence[str], *, fault: str, taxonomy: Taxonomy, seed: int) -> str:
    """A caption with one fault planted in it; "" if there is no place for it.

    Args:
        caption: A real one.
        tags: What it says.
        fault: ``swapped``: a tag that it names is replaced by another of the category; ``shuffled``: the words of its
            first sentence stand in another order; ``doubled``: a third of its content words stand twice.
        taxonomy: Has the tags.
        seed: Of the draws.

    >>> plant("A slow waltz.", ["slow tempo"], fault="doubled", taxonomy=Taxonomy.load(), seed=0)
    'A slow slow waltz.'
    """
    if not caption.strip():
        return ""
    generator = np.random.default_rng(seed)
    if fault == "swapped":
        named = [tag for tag in tags if f" {tag} " in f" {caption.lower()} "]
        if not named:
            return ""
        tag = named[int(generator.integers(len(named)))]
        others = [name for name in taxonomy.tags if taxonomy.category(name) == taxonomy.category(tag)]
        others = [name for name in others if name not in taxonomy.closure(tags)]
        at = f" {caption.lower()} ".index(f" {tag} ")
        return f"{caption[:at]}{others[int(generator.integers(len(others)))]}{caption[at + len(tag) :]}"
    words = caption.split()
    if fault == "shuffled":
        first = len(phrases.sentences(caption)[0].split())
        return " ".join([*(words[place] for place in generator.permutation(first)), *words[first:]])
    if fault != "doubled":
        raise InputError(f"expected fault {', '.join(PLANTED)}, got {fault!r}")
    long = [place for place, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    chosen = set(generator.permutation(long)[: max(len(long) // 3, 1)].tolist())
    return " ".join(f"{word} {word}" if place in chosen else word for place, word in enumerate(words))


def agreement(real: pd.DataFrame, *, prefer: Prefer, taxonomy: Taxonomy, seed: int) -> dict[str, float]:
    """How far a judge prefers real captions to the same ones with a planted fault: 1 always, 0.5 a coin, 0 never.

    Args:
        real: Columns ``tags`` and ``caption``.
        prefer: The judge, which should see every pair in both orders.
        taxonomy: Has the tags.
        seed: Of the faults.

    Returns:
        ``judge/<fault>`` and ``judge/<fault>_n``, how many pairs it gave an answer on; NaN where it gave none.
    """
    found: dict[str, float] = {}
    for fault in PLANTED:
        spoilt = [
            plant(text, tags, fault=fault, taxonomy=taxonomy, seed=seed + row)
            for row, (text, tags) in enumerate(zip(real["caption"], real["tags"], strict=True))
        ]
        rows = [row for row, text in enumerate(spoilt) if text and text != real["caption"].iloc[row]]
        chosen = real.iloc[rows]
        said = prefer(chosen["tags"].tolist(), chosen["caption"].tolist(), [spoilt[row] for row in rows])
        answered = said[~np.isnan(said)]
        found[f"judge/{fault}"] = float(answered.mean()) if len(answered) else float("nan")
        found[f"judge/{fault}_n"] = len(answered)
    return found


def _in_pairs(one: Floats, other: Floats, *, seed: int) -> dict[str, float]:
    interval = paired_difference(one, other, seed=seed)
    p_value = paired_p_value(one, other, seed=seed)
    return {"difference": interval.mean, "low": interval.low, "high": interval.high, "p_value": p_value}


def _apart(one: Floats, other: Floats, *, seed: int) -> dict[str, float]:
    generator = np.random.default_rng(seed)

    def difference(x: Floats, y: Floats, axis: int = -1) -> Floats:
        return np.asarray(x.mean(axis) - y.mean(axis))

    test = stats.permutation_test((one, other), difference, vectorized=True, n_resamples=999, rng=generator)
    found = float(difference(one, other))
    low, high = found, found
    if np.ptp(one) or np.ptp(other):
        drawn = stats.bootstrap(
            (one, other), difference, vectorized=True, n_resamples=999, method="percentile", rng=generator
        )
        low, high = drawn.confidence_interval
    return {"difference": found, "low": float(low), "high": float(high), "p_value": float(test.pvalue)}
