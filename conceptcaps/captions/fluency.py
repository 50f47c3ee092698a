"""How captions read, by measures that no writer chooses by: grammar, repetition, surprise, likeness to real text."""

import re
import shutil
import subprocess
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import metrics, readability
from conceptcaps.errors import InputError
from conceptcaps.tags import phrases

Floats = NDArray[np.float64]
# behind "No complete linkages found." a line "Found 9 linkages (0 of 9 …)" still means none
_VERDICT = re.compile(r"^(?:(Found)|No complete linkages found\.(?:\nFound \d+ linkages? \(0 of.*)?)", re.MULTILINE)
_WORDS = re.compile(r"[a-z']+")
_SENTENCE_SECONDS = 2


def whole_parses(texts: Sequence[str]) -> Floats:
    """Share of each text's sentences that link-grammar parses whole, 0 to 1 (best); about 0.89 for real captions.

    It judges grammar and not sense. NaN everywhere where the program ``link-parser`` is not installed, and for an empty
    text.

    References:
        Sleator and Temperley, Parsing English with a link grammar (1993).
    """
    program = shutil.which("link-parser")
    parts = [phrases.sentences(text) for text in texts]
    flat = [" ".join(sentence.split()) for sentences in parts for sentence in sentences]
    if program is None or not flat:
        return np.full(len(texts), np.nan)
    options = ["-verbosity=1", "-graphics=0", "-null=0", f"-timeout={_SENTENCE_SECONDS}", "-limit=100"]
    lines = "".join(f"{sentence.lstrip('!%')}\n" for sentence in flat)
    done = subprocess.run([program, "en", *options], input=lines, capture_output=True, text=True, check=True)
    verdicts = [verdict == "Found" for verdict in _VERDICT.findall(done.stdout)]
    if len(verdicts) != len(flat):
        raise InputError(f"expected a verdict of link-parser on {len(flat)} sentences, got {len(verdicts)}")
    ends = np.cumsum([len(sentences) for sentences in parts])
    return np.array([
        np.mean(verdicts[end - len(sentences) : end]) if sentences else np.nan
        for sentences, end in zip(parts, ends, strict=True)
    ])  # fmt: skip


def repetition(texts: Sequence[str], *, n: int) -> Floats:
    """Share of each text's word n-grams that occurred in it before, 0 (best) to 1; NaN for a text without any.

    >>> repetition(["a b a b", ""], n=1)
    array([0.5, nan])
    """
    return np.array([_repeated(_WORDS.findall(text.lower()), n) for text in texts])


def strangeness(texts: Sequence[str], *, vocabulary: Collection[str]) -> Floats:
    """Share of each text's words that are not in a vocabulary, 0 (best) to 1; NaN for a text without words.

    >>> strangeness(["A snaredring plays"], vocabulary={"a", "plays"})
    array([0.33333333])
    """
    words = [_WORDS.findall(text.lower()) for text in texts]
    return np.array([np.mean([word not in vocabulary for word in row]) if row else np.nan for row in words])


def vocabulary(texts: Sequence[str]) -> set[str]:
    """All words of some texts, in lower case."""
    return {word for text in texts for word in _WORDS.findall(text.lower())}


def surprise(
    texts: Sequence[str], *, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[Floats, Floats]:
    """Perplexity of each text, and of its most surprising sentence, under a model that wrote none of them.

    Returns:
        Two arrays ``(n,)``, at least 1 (best).
    """
    parts = [phrases.sentences(text) for text in texts]
    scores = metrics.perplexities(
        [*texts, *(sentence for sentences in parts for sentence in sentences)], model=model, tokenizer=tokenizer
    )
    ends = len(texts) + np.cumsum([len(sentences) for sentences in parts])
    worst = [scores[end - len(sentences) : end].max() for sentences, end in zip(parts, ends, strict=True)]
    return scores[: len(texts)], np.array(worst)


def two_sample_auc(texts: Sequence[str], others: Sequence[str], *, seed: int, features: Floats | None = None) -> float:
    """How well a linear classifier tells two sets of texts apart: ROC-AUC over five folds, 0.5 if not at all.

    Args:
        texts: At least ten.
        others: At least ten; the larger set is cut to the smaller by ``seed``.
        seed: Of the cut and the folds.
        features: Embeddings of ``[*texts, *others]``; None takes n-grams of one to three words.

    References:
        Lopez-Paz and Oquab, Revisiting classifier two-sample tests (ICLR 2017), arXiv 1610.06545.
    """
    size = min(len(texts), len(others))
    if size < 10:
        raise InputError(f"expected at least ten texts on each side, got {len(texts)} and {len(others)}")
    generator = np.random.default_rng(seed)
    rows = np.concatenate([
        generator.permutation(len(texts))[:size], len(texts) + generator.permutation(len(others))[:size]
    ])  # fmt: skip
    labels = np.repeat([1, 0], size)
    every = [*texts, *others]
    linear = LogisticRegression(C=10.0, max_iter=500)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    if features is None:
        words = make_pipeline(TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True), linear)
        chances = cross_val_predict(words, [every[row] for row in rows], labels, cv=folds, method="predict_proba")
    else:
        chances = cross_val_predict(linear, features[rows], labels, cv=folds, method="predict_proba")
    return float(roc_auc_score(labels, chances[:, 1]))


def counts(texts: Sequence[str], *, known: Collection[str]) -> pd.DataFrame:
    """The figures that need no model, a row for each text: what ``readability`` counts, and repetition, words, grammar.

    Args:
        texts: Captions, none empty.
        known: Words of the text that was learnt.

    Returns:
        Columns ``doubled`` and ``role_fault`` (0 or 1), ``repeated_words``, ``repeated_bigrams``, ``strange_words``,
        ``whole_parses``.
    """
    return pd.DataFrame(
        {
            "doubled": [float(bool(readability.doubled_words(text))) for text in texts],
            "role_fault": [float(bool(readability.role_faults(text))) for text in texts],
            "repeated_words": repetition(texts, n=1),
            "repeated_bigrams": repetition(texts, n=2),
            "strange_words": strangeness(texts, vocabulary=known),
            "whole_parses": whole_parses(texts),
        }
    )


def _repeated(words: Sequence[str], n: int) -> float:
    grams = [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else float("nan")
