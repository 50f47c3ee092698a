"""How close captions are to real ones: overlap, embeddings, distribution, diversity, fluency.

A score of a caption compares it with one reference; ``nearest_references`` finds the real caption whose tags are most
like the ones that the caption was written for.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import bert_score as bert_score_package
import mauve
import numpy as np
import torch
from bert_score import BERTScorer
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score
from numpy.typing import NDArray
from rouge_score import rouge_scorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.errors import InputError
from conceptcaps.tags.jaccard import jaccard

Floats = NDArray[np.float64]
MINILM_LAYER = 5  # of six: the hidden layer that BERTScore compares
MAUVE_LEAST = 20  # texts a side
MAUVE_NEEDS = 1000  # texts a side, below which values are not comparable with published ones


class Mauve(NamedTuple):
    """MAUVE over several clusterings: mean in (0, 1], 1 is best; standard deviation over seeds; texts compared."""

    mean: float
    spread: float
    n: int


def nearest_references(tags: NDArray[np.bool_], reference_tags: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """For each tag set, the row of the reference set with the highest Jaccard index (the first of equals).

    Args:
        tags: ``(n, tags)``.
        reference_tags: ``(m, tags)``.

    Returns:
        Rows ``(n,)`` and their Jaccard indices ``(n,)``.

    >>> nearest_references(np.array([[True, True, False]]), np.array([[False, False, True], [True, False, False]]))
    (array([1]), array([0.5]))
    """
    if not len(tags) or not len(reference_tags):
        raise InputError(f"expected tag sets and references, got {len(tags)} and {len(reference_tags)}")
    likeness = jaccard(tags.astype(np.float64), reference_tags.astype(np.float64))
    rows = likeness.argmax(1)
    return rows, likeness[np.arange(len(rows)), rows]


def bert_scorer(model: str, *, layer: int) -> BERTScorer:
    """BERTScore with a model: a folder, or a Hub id, rescaled where the library ships a baseline for it.

    Args:
        model: Folder or name of the embedding model.
        layer: Hidden layer whose embeddings are compared.

    Returns:
        The scorer; its ``hash`` names model, layer and versions.

    References:
        Zhang et al., BERTScore: Evaluating text generation with BERT (ICLR 2020), arXiv 1904.09675.
    """
    baseline = Path(bert_score_package.__file__).parent / "rescale_baseline" / "en" / f"{model}.tsv"
    return BERTScorer(
        model_type=model, num_layers=layer, batch_size=64, lang="en", rescale_with_baseline=baseline.is_file()
    )


def bert_score(captions: Sequence[str], references: Sequence[str], *, scorer: BERTScorer) -> Floats:
    """BERTScore F1 of each pair, at most 1 (best): greedy matching of contextual token embeddings."""
    _same_length(captions, references)
    return np.asarray(scorer.score(list(captions), list(references))[2], dtype=np.float64)


def overlap(captions: Sequence[str], references: Sequence[str]) -> dict[str, Floats]:
    """Scores of each pair in [0, 1], 1 is best: ``bleu``, ``chrf``, ``rouge_l``, ``meteor``.

    Sentence BLEU with exponential smoothing and chrF by sacrebleu; ROUGE-L F1 with stemming; METEOR with exact and stem
    matches only, since its synonyms need a download.

    References:
        Post, A call for clarity in reporting BLEU scores (2018), arXiv 1804.08771; Popović, chrF (2015); Lin, ROUGE
        (2004); Banerjee and Lavie, METEOR (2005).

    >>> {name: round(float(score[0]), 2) for name, score in overlap(["a calm harp tune"], ["a calm harp tune"]).items()}
    {'bleu': 1.0, 'chrf': 1.0, 'rouge_l': 1.0, 'meteor': 0.99}
    """
    _same_length(captions, references)
    bleu, chrf, stemmer = BLEU(effective_order=True), CHRF(), PorterStemmer()
    rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
    pairs = list(zip(captions, references, strict=True))
    return {
        "bleu": np.array([bleu.sentence_score(text, [other]).score / 100 for text, other in pairs]),
        "chrf": np.array([chrf.sentence_score(text, [other]).score / 100 for text, other in pairs]),
        "rouge_l": np.array([rouge.score(other, text)["rougeL"].fmeasure for text, other in pairs]),
        "meteor": np.array(
            [
                single_meteor_score(_words(other), _words(text), stemmer=stemmer, wordnet=_NoSynonyms())
                for text, other in pairs
            ]
        ),
    }


def embed(texts: Sequence[str], *, model: str, batch_size: int = 64) -> Floats:
    """Sentence embeddings ``(n, d)`` of unit length: mean of the last layer over the tokens."""
    tokenizer, encoder = _encoder(model)
    parts = []
    for start in range(0, len(texts), batch_size):
        batch = tokenizer(
            list(texts[start : start + batch_size]), padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = encoder(**batch).last_hidden_state
        mask = batch["attention_mask"][:, :, None]
        parts.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1))
    return torch.cat(parts).double().numpy()


def mauve_score(features: Floats, reference_features: Floats, *, seeds: Sequence[int]) -> Mauve:
    """MAUVE between two sets of texts: area under the divergence curve of their quantised embeddings.

    Quantisation is by k-means and noisy: read the mean with the spread over seeds. Under about 1,000 texts a side the
    value is not comparable with published ones.

    Args:
        features: ``(n, d)``.
        reference_features: ``(m, d)``.
        seeds: Seeds of the clusterings, at least one.

    References:
        Pillutla et al., MAUVE: Measuring the gap between neural text and human text (2021), arXiv 2102.01454.
    """
    if min(len(features), len(reference_features)) < MAUVE_LEAST:
        raise InputError(
            f"expected at least {MAUVE_LEAST} texts on each side, got {len(features)} and {len(reference_features)}"
        )
    values = [
        mauve.compute_mauve(p_features=features, q_features=reference_features, seed=seed, verbose=False).mauve
        for seed in seeds
    ]
    return Mauve(float(np.mean(values)), float(np.std(values)), min(len(features), len(reference_features)))


def perplexities(
    texts: Sequence[str], *, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int = 8
) -> Floats:
    """Perplexity of each text, at least 1 (best), under a causal language model that did not write it.

    ``batch_size`` texts of like length are read at once; the result does not depend on it.
    """
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    rows = [[start, *tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    found = np.empty(len(rows))
    for place in range(0, len(rows), batch_size):
        batch = order[place : place + batch_size]
        width = max(len(rows[row]) for row in batch)
        ids = torch.tensor([rows[row] + [start] * (width - len(rows[row])) for row in batch], device=model.device)
        mask = torch.tensor(
            [[1] * len(rows[row]) + [0] * (width - len(rows[row])) for row in batch], device=model.device
        )
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none") * mask[:, 1:]
        found[batch] = (losses.sum(1) / mask[:, 1:].sum(1)).cpu().double().exp().numpy()
    return found


def self_bleu(texts: Sequence[str], *, seed: int, most: int = 200) -> float:
    """Mean BLEU of each text against all others, 0 to 1: the higher, the more alike they are (Zhu et al., 2018).

    Args:
        texts: At least two; ``most`` are drawn where there are more, since the work grows with their square.
        seed: Of the draw.
        most: Texts that are compared.
    """
    if len(texts) < 2:
        raise InputError(f"expected two texts or more to compare, got {len(texts)}")
    chosen = np.random.default_rng(seed).permutation(len(texts))[:most]
    drawn = [texts[row] for row in chosen]
    bleu = BLEU(effective_order=True)
    scores = [bleu.sentence_score(text, drawn[:row] + drawn[row + 1 :]).score for row, text in enumerate(drawn)]
    return float(np.mean(scores)) / 100


def distinct(texts: Sequence[str], *, n: int) -> float:
    """Distinct n-grams over all n-grams of a set of texts, in (0, 1]; falls as the set grows (Li et al., 2016).

    >>> distinct(["a b a b"], n=1)
    0.5
    """
    grams = [tuple(words[place : place + n]) for words in map(_words, texts) for place in range(len(words) - n + 1)]
    if not grams:
        raise InputError(f"expected texts of at least {n} words, got none")
    return len(set(grams)) / len(grams)


@lru_cache(maxsize=1)
def _encoder(model: str) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    return AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()


class _NoSynonyms:
    """Stands where METEOR looks for WordNet: no word has synonyms."""

    def synsets(self, word: str) -> list[object]:
        return []


def _words(text: str) -> list[str]:
    return text.lower().split()


def _same_length(captions: Sequence[str], references: Sequence[str]) -> None:
    if len(captions) != len(references) or not captions:
        raise InputError(f"expected as many references as captions, got {len(captions)} and {len(references)}")
