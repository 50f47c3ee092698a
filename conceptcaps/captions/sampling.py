"""Decoding dials, and the next token of many texts drawn by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """Decoding dials.

    Attributes:
        temperature: Divides the logits; 0 decodes greedily. Later rounds of one part are warmer, see ``heat``.
        top_k: Most likely tokens that are kept, at least 1.
        top_p: Share of the probability that the kept tokens hold at least, in (0, 1].
        repetition_penalty: Over 1 makes tokens of the same part less likely to return; the prompt's tokens are not
            counted, since the caption is meant to repeat its tags.
        no_repeat_ngram: Length of token sequences that stand once in a part at most; 0 lets all return.
        max_new_tokens: Longest text in tokens.
    """

    temperature: float = 0.4
    top_k: int = 50
    top_p: float = 0.97
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    max_new_tokens: int = 160

    @classmethod
    def of(cls, dials: Mapping[str, Any]) -> "Sampling":
        """Those dials of a mapping that bear these names; it may hold others."""
        return cls(**{field.name: dials[field.name] for field in fields(cls)})


def penalise(logits: Tensor, said: Sequence[Sequence[int]], *, penalty: float) -> None:
    """Make tokens that a row has said less likely, in place: positive logits over, negative ones times the penalty.

    Args:
        logits: ``(rows, vocabulary)``.
        said: Tokens of each row.
        penalty: 1 changes nothing.

    References:
        Keskar et al., CTRL (2019), arXiv 1909.05858.
    """
    pairs = [(row, token) for row, tokens in enumerate(said) for token in set(tokens)] if penalty != 1 else []
    if pairs:
        rows, tokens = torch.tensor(pairs, device=logits.device).T
        values = logits[rows, tokens]
        logits[rows, tokens] = torch.where(values < 0, values * penalty, values / penalty)


def repeating(tokens: Sequence[int], *, size: int) -> set[int]:
    """Tokens that would end a sequence of ``size`` tokens which stands among ``tokens`` already; none for size 0.

    >>> repeating([5, 6, 7, 5, 6], size=3)
    {7}
    """
    if size == 0 or len(tokens) < size:
        return set()
    tail = list(tokens[len(tokens) - size + 1 :])
    starts = range(len(tokens) - size + 1)
    return {tokens[start + size - 1] for start in starts if list(tokens[start : start + size - 1]) == tail}


def heat(rounds: int) -> float:
    """Factor on the temperature after some rounds: where no candidate was good enough, the next ones differ more."""
    return 1.0 + rounds / 2


def draw(logits: Tensor, *, uniform: Tensor, heats: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Next tokens ``(rows,)`` by inverse transform of one uniform number for each row, and their log-probabilities.

    Args:
        logits: ``(rows, vocabulary)``.
        uniform: ``(rows,)``, in [0, 1).
        heats: ``(rows,)``, what multiplies the temperature, see ``heat``.
        sampling: Decoding dials. The log-probabilities are those at temperature 1, among the ``top_k`` alone.
    """
    top, tokens = logits.topk(min(sampling.top_k, logits.shape[1]), dim=1)
    shares = torch.log_softmax(top.float(), dim=1)
    chosen = torch.zeros(len(top), 1, dtype=torch.long, device=top.device)
    if sampling.temperature > 0:
        share = torch.softmax(top.double() / (sampling.temperature * heats.to(top)[:, None].double()), dim=1)
        share = share * (share.cumsum(1) - share < sampling.top_p)
        reached = share.cumsum(1)
        height = uniform.to(reached)[:, None] * reached[:, -1:]
        chosen = (reached <= height).sum(1, keepdim=True).clamp(max=top.shape[1] - 1)
    return tokens.gather(1, chosen)[:, 0], shares.gather(1, chosen)[:, 0]
