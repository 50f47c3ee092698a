"""Captions evaluated as a table: what two readers find in them, how they read, how near they are to real ones."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from bert_score import BERTScorer
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import fluency, llm_judge, metrics, table
from conceptcaps.captions.mentions import MentionReader
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy

Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]
MOST_FAILED = 0.1
_LEAKED = re.compile(r"\b(?:tags?|captions?|sentence \d+|user|assistant|answer)\s*:|<\|", re.IGNORECASE)


class Evaluation(NamedTuple):
    """What ``evaluate`` finds.

    Attributes:
        items: A row for each caption: ``id``, ``sample_id``, ``reference_id``, scores (NaN where it has none) and
            ``error`` (why, or empty).
        summary: Means with intervals, the same for real captions under ``real/``, figures of the whole set, counts.
        disagreements: ``id``, ``caption``, ``matcher_only`` and ``reader_only`` (tags) where the two readers differ.
    """

    items: pd.DataFrame
    summary: dict[str, float]
    disagreements: pd.DataFrame


def evaluate(
    captions: pd.DataFrame,
    real: pd.DataFrame,
    *,
    taxonomy: Taxonomy,
    scorer: BERTScorer,
    encoder: str,
    seed: int,
    learnt: pd.DataFrame | None = None,
    outside: Model | None = None,
    judge: Model | None = None,
) -> Evaluation:
    """Evaluate captions. A row without text gets a reason and NaN; a real one without text is left out.

    Args:
        captions: Columns ``id``, ``sample_id``, ``tags`` and ``caption``.
        real: The same but ``sample_id``: captions to compare with, nearest tag set by nearest tag set.
        taxonomy: The first reader, which may have helped to write.
        scorer: BERTScore's model.
        encoder: Folder or name of a sentence encoder.
        seed: Of intervals, shuffles and folds.
        learnt: Captions that were learnt from, with ``split``; None leaves out what compares with them.
        outside: Language model for perplexity, which wrote nothing here; None leaves it out.
        judge: Chat model that compares with the references; None leaves it out.
    """
    error = faults(captions["caption"])
    alive = captions[error == ""]
    told = real[faults(real["caption"]) == ""]
    if alive.empty or told.empty:
        raise InputError(
            f"expected captions to judge and real ones, got {len(captions) - len(alive)} of {len(captions)} and "
            f"{len(real) - len(told)} of {len(real)} without text"
        )
    untold, real = len(real) - len(told), told
    texts, reference = alive["caption"].tolist(), real["caption"].tolist()
    rows, jaccard = metrics.nearest_references(
        taxonomy.encode(captions["tags"].tolist()), taxonomy.encode(real["tags"].tolist())
    )
    nearest = [reference[row] for row in rows[error == ""]]
    reader = MentionReader(taxonomy)
    known = fluency.vocabulary((learnt[learnt["split"] == "train"] if learnt is not None else real)["caption"].tolist())
    read, disagreements = second_reading(alive, taxonomy=taxonomy, reader=reader)
    f1 = metrics.bert_score(texts, nearest, scorer=scorer)
    floor = float(metrics.bert_score(texts, _deranged(nearest, seed=seed), scorer=scorer).mean())
    scores = pd.concat(
        [table.check_all(alive, taxonomy=taxonomy), read, reading_figures(texts, known=known, outside=outside)], axis=1
    ).assign(**metrics.overlap(texts, nearest), bertscore_f1=f1, bertscore_rescaled=(f1 - floor) / max(1 - floor, 1e-9))
    if judge is not None:
        scores["judge"] = llm_judge.preferences(
            alive["tags"].tolist(), texts, nearest, model=judge[0], tokenizer=judge[1]
        )
    scores = scores.set_index(alive.index).reindex(captions.index)
    named = captions[["id", "sample_id"]].assign(reference_id=real["id"].to_numpy()[rows], reference_jaccard=jaccard)
    items = pd.concat([named, scores, error.rename("error")], axis=1)
    summary: dict[str, float] = {
        "captions/count": len(captions),
        "captions/failed": int((error != "").sum()),
        "captions/duplicates": len(texts) - len({" ".join(text.lower().split()) for text in texts}),
        "captions/leaked_prompts": sum(bool(_LEAKED.search(text)) for text in texts),
        "captions/bertscore_floor": floor,
        "captions/second_readable": len(reader.readable) / len(taxonomy.tags),
        "real/failed": untold,
    }
    if judge is not None:
        summary["captions/judge_failures"] = int(scores.loc[alive.index, "judge"].isna().sum())
    compared = scores.assign(reference_jaccard=jaccard)
    summary |= table.means(compared.loc[:, compared.count() >= 2], seed=seed)
    beside = pd.concat(
        [
            reading_figures(reference, known=known, outside=outside),
            second_reading(real, taxonomy=taxonomy, reader=reader)[0],
        ],
        axis=1,
    )
    summary |= {f"real/{name}": float(value) for name, value in beside.mean().items() if not np.isnan(value)}
    summary |= of_the_set(texts, reference, encoder=encoder, seed=seed, learnt=learnt)
    return Evaluation(items, summary, disagreements)


def faults(captions: pd.Series) -> pd.Series:
    """Why a caption cannot be judged, "" where it can."""
    blank = [not isinstance(text, str) or not text.strip() for text in captions]
    return pd.Series(np.where(blank, "no text: expected words, got an empty caption", ""), index=captions.index)


def require_few_failures(items: pd.DataFrame) -> None:
    """Raise if more than a tenth of the captions could not be judged."""
    failed = items[items["error"] != ""]
    if len(failed) > MOST_FAILED * len(items):
        raise InputError(
            f"expected at most {MOST_FAILED:.0%} of captions without a score, got {len(failed)} of {len(items)}, the "
            f"first being {failed['id'].iloc[0]} ({failed['error'].iloc[0]}): look at the stage that wrote them"
        )


def second_reading(
    captions: pd.DataFrame, *, taxonomy: Taxonomy, reader: MentionReader
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the reader that took no part in the writing finds in captions, and where the matcher disagrees.

    Returns:
        A row for each caption with ``second_recall`` (of its tags, 0 to 1, best 1); 0 or 1 each: ``second_all_tags``,
        ``second_inventing`` (names a genre or instrument not asked for), ``denying`` (says that an asked tag is not
        there, or a tag that excludes it); ``agreement`` (Jaccard index of what the two find). Then the disagreements.
        Only tags that the reader can read count; where a row has none left, its figures are NaN.
    """
    rows, apart = [], []
    readings = reader.read(captions["caption"].tolist())
    for own, text, asked, reading in zip(captions["id"], captions["caption"], captions["tags"], readings, strict=True):
        wanted, said = set(asked) & reader.readable, set(reading.mentioned)
        missed = wanted - taxonomy.closure(said)
        foreign = said - taxonomy.closure(asked)
        against = [set(group) & foreign for group in taxonomy.exclusions if set(group) & wanted]
        found = set(taxonomy.find(text))
        matched, said = found & reader.readable, said & reader.readable
        heard = {taxonomy.category(tag) for tag in foreign}
        told = {
            "second_recall": 1 - len(missed) / max(len(wanted), 1),
            "second_all_tags": float(not missed),
            "second_inventing": float(bool(heard & {"genre", "instrument"})),
            "denying": float(any(against) or bool(wanted & set(reading.denied))),
        }
        alike = len(matched & said) / len(matched | said) if matched | said else float("nan") if found else 1.0
        rows.append({**(told if wanted else dict.fromkeys(told, float("nan"))), "agreement": alike})
        if matched != said:
            differing = {"matcher_only": sorted(matched - said), "reader_only": sorted(said - matched)}
            apart.append({"id": own, "caption": text, **differing})
    return pd.DataFrame(rows), pd.DataFrame(apart, columns=["id", "caption", "matcher_only", "reader_only"])


def reading_figures(texts: Sequence[str], *, known: set[str], outside: Model | None) -> pd.DataFrame:
    """``fluency.counts``, and perplexity of the text and of its worst sentence where there is a model for it."""
    found = fluency.counts(texts, known=known)
    if outside is not None:
        found["perplexity"], found["worst_sentence"] = fluency.surprise(texts, model=outside[0], tokenizer=outside[1])
    return found


def of_the_set(
    texts: Sequence[str], real: Sequence[str], *, encoder: str, seed: int, learnt: pd.DataFrame | None
) -> dict[str, float]:
    """Figures of whole sets: MAUVE between its floor and ceiling, variety, and how well sets can be told apart."""
    found = {f"captions/distinct_{n}": metrics.distinct(texts, n=n) for n in (1, 2)}
    if len(texts) > 1:
        found["captions/self_bleu"] = metrics.self_bleu(texts, seed=seed)
    features, real_features = metrics.embed(texts, model=encoder), metrics.embed(real, model=encoder)
    seeds = range(seed, seed + 3)
    if min(len(texts), len(real)) >= metrics.MAUVE_LEAST:
        score = metrics.mauve_score(features, real_features, seeds=seeds)
        found |= {"captions/mauve": score.mean, "captions/mauve_spread": score.spread, "captions/mauve_n": score.n}
        shuffled = metrics.embed([_shuffled(text, seed=seed) for text in real], model=encoder)
        found["captions/mauve_floor"] = metrics.mauve_score(shuffled, real_features, seeds=seeds).mean
    if len(real) >= 2 * metrics.MAUVE_LEAST:
        order = np.random.default_rng(seed).permutation(len(real))
        halves = real_features[order[: len(real) // 2]], real_features[order[len(real) // 2 :]]
        found["captions/mauve_ceiling"] = metrics.mauve_score(*halves, seeds=seeds).mean
    if learnt is None:
        return found
    train = learnt.loc[learnt["split"] == "train", "caption"].tolist()
    held = learnt.loc[learnt["split"] != "train", "caption"].tolist()
    size = min(len(texts), len(train), len(held))  # of all, so that the null is of as many texts
    if size < 10:
        return found
    held = _some(held, size, seed=seed)
    for name, one in (("", texts), ("null_", train)):
        both = [*_some(one, size, seed=seed), *held]
        vectors = metrics.embed(both, model=encoder)
        found[f"captions/auc_{name}ngrams"] = fluency.two_sample_auc(both[:size], held, seed=seed)
        found[f"captions/auc_{name}embeddings"] = fluency.two_sample_auc(both[:size], held, seed=seed, features=vectors)
    return found


def _some(texts: Sequence[str], most: int, *, seed: int) -> list[str]:
    rows = np.random.default_rng(seed).permutation(len(texts))[:most]
    return [texts[row] for row in rows]


def _deranged(texts: Sequence[str], *, seed: int) -> list[str]:
    """The texts in another order, each at another's place."""
    order = np.random.default_rng(seed).permutation(len(texts))
    moved: NDArray[np.int64] = np.empty(len(texts), dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return [texts[place] for place in moved]


def _shuffled(text: str, *, seed: int) -> str:
    words = text.split()
    return " ".join(words[place] for place in np.random.default_rng(seed).permutation(len(words)))
