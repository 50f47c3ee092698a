"""How well captions fit their clips, by the embeddings of a model of both."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from conceptcaps.errors import InputError
from conceptcaps.listening.distances import Array, paired_sets

_AT_ONCE = 256  # clips whose captions are ranked at once


def clap_scores(audio: ArrayLike, text: ArrayLike) -> tuple[Array, Array]:
    """CLAP score of every clip with its own caption, and with all other captions as a control.

    The cosine of two embeddings, in [-1, 1], 1 is best; the score of a set is the mean. The control is the expectation
    over shuffled captions, without a shuffle's noise: captions tell of *their* clips as far as the score exceeds it.

    Args:
        audio: Embeddings ``(n, d)`` of clips, n at least 2, none of them 0.
        text: Embeddings ``(n, d)`` of their captions, in the same order.

    Returns:
        Scores ``(n,)`` and controls ``(n,)``.

    References:
        Wu et al., Large-scale contrastive language-audio pretraining, 2023, arXiv 2211.06687.
    """
    sounds, words = _directions(audio, text)
    own = (sounds * words).sum(1)
    return own, (sounds @ words.sum(0) - own) / (len(own) - 1)


def retrieval(audio: ArrayLike, text: ArrayLike) -> dict[str, float]:
    """How often a clip's own caption is found among all: ``recall_1``, ``recall_10`` and ``median_rank`` (best 1).

    Of captions that are as near as its own, as of equal ones, half count as nearer.

    Args:
        audio: Embeddings ``(n, d)`` of clips.
        text: Embeddings ``(n, d)`` of their captions, in the same order.

    >>> retrieval(np.eye(3), np.eye(3))["recall_1"]
    1.0
    """
    sounds, words = _directions(audio, text)
    ranks = np.concatenate(list(_ranks(sounds, words)))
    recalls = {f"recall_{most}": float((ranks <= most).mean()) for most in (1, 10)}
    return recalls | {"median_rank": float(np.median(ranks))}


def _ranks(sounds: Array, words: Array) -> Iterator[Array]:
    """Ranks of clips' own captions, some clips at a time: never all clips by all captions."""
    for places in np.array_split(np.arange(len(sounds)), 1 + len(sounds) // _AT_ONCE):
        cosines = sounds[places] @ words.T
        own = cosines[np.arange(len(places)), places][:, None]
        yield 1 + (cosines > own).sum(1) + ((cosines == own).sum(1) - 1) / 2


def _directions(audio: ArrayLike, text: ArrayLike) -> tuple[Array, Array]:
    """Embeddings of clips and of their captions, at length 1."""
    sounds, words = paired_sets(audio, text)
    if len(sounds) != len(words):
        raise InputError(f"expected a caption for each clip, got {len(sounds)} clips and {len(words)} captions")
    norms = [np.linalg.norm(part, axis=1, keepdims=True) for part in (sounds, words)]
    if not all(norm.all() for norm in norms):
        raise InputError("expected embeddings with a direction, got a row of zeros")
    return sounds / norms[0], words / norms[1]
