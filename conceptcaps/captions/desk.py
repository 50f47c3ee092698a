"""Texts in progress: what is chosen of each, candidates for its next part, and the lanes in which they are written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import chat
from conceptcaps.captions.lanes import Lanes, States
from conceptcaps.captions.sampling import Sampling, draw, heat, penalise, repeating


class Answer(NamedTuple):
    """A text without special tokens and surrounding white space.

    Attributes:
        text: The text.
        ended: Whether it ended by itself; otherwise it was cut off.
        likelihood: Mean log-probability of its tokens at temperature 1, among the ``top_k`` most likely; at most 0.
    """

    text: str
    ended: bool
    likelihood: float = 0.0


@dataclass
class _Candidate:
    """What a lane has of a part: its tokens, their log-probability, and the numbers that it draws with."""

    draws: NDArray[np.float64]
    tokens: list[int] = field(default_factory=list)
    total: float = 0.0
    closed: bool = False
    ended: bool = False


@dataclass
class Text:
    """A text in progress: the tokens of its prompt and of what was chosen, and the most tokens of each part."""

    row: int
    tokens: list[int]
    limits: list[int]
    stream: tuple[int, int]
    round: int = 0
    said: list[str] = field(default_factory=list)
    total: float = 0.0
    count: int = 0
    ended: bool = True

    def candidate(self, number: int) -> _Candidate:
        """An empty candidate for the next part, with the numbers of its own stream."""
        part = len(self.said)
        stream = np.random.default_rng((*self.stream, part, self.round, number))
        return _Candidate(stream.random(self.limits[part]))

    def answer(self) -> Answer:
        """The whole text."""
        return Answer(" ".join(self.said).strip(), self.ended, self.total / max(self.count, 1))


class Desk:
    """Slots, each with the lanes of the candidates of one text."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        sampling: Sampling,
        slots: int,
        candidates: int,
        sentences: bool,
    ) -> None:
        """Open slots; with ``sentences`` a part ends with a sentence, else where the model ends the text."""
        self.lanes = Lanes(model, slots * candidates, sharing=candidates)
        self.slots: list[Text | None] = [None] * slots
        self._size = candidates
        self._candidates = [_Candidate(np.zeros(0), closed=True) for _ in range(len(self.lanes))]
        self._pending = [0] * len(self.lanes)  # the last token of each lane, which its keys do not hold yet
        self._sampling = sampling
        self._decode = partial(tokenizer.decode, skip_special_tokens=True)
        stops = chat.end_ids(tokenizer) | {*np.atleast_1d(model.generation_config.eos_token_id).tolist()}
        self._barred = sorted(stops) if sentences else []
        self._ends = sentence_ends(tokenizer) if sentences else frozenset(stops)

    def text(self, slot: int) -> Text:
        """The text of a slot that is not free."""
        text = self.slots[slot]
        assert text is not None
        return text

    def free(self) -> list[int]:
        """Slots without a text."""
        return [slot for slot, text in enumerate(self.slots) if text is None]

    def close_free(self) -> None:
        """Close the lanes of free slots."""
        kept = [lane for slot, text in enumerate(self.slots) if text is not None for lane in self._lanes_of(slot)]
        self.lanes.keep(kept)
        self._candidates = [self._candidates[lane] for lane in kept]
        self._pending = [self._pending[lane] for lane in kept]
        self.slots = [text for text in self.slots if text is not None]

    def take(self, slot: int, text: Text, states: States) -> None:
        """Begin a text whose prompt, but for its last token, was read."""
        self.slots[slot] = text
        self.lanes.fill(self._span(slot), states)
        self._draw(slot, self._lanes_of(slot))

    def step(self) -> list[int]:
        """Write a token in every open lane; return the slots whose candidates are now all closed."""
        busy = [lane for lane, candidate in enumerate(self._candidates) if not candidate.closed]
        writing = [self._candidates[lane] for lane in busy]
        tokens = torch.tensor([self._pending[lane] for lane in busy], device=self.lanes.lengths.device)
        first: dict[tuple[int, tuple[int, ...]], int] = {}
        said = [(lane // self._size, tuple(one.tokens)) for lane, one in zip(busy, writing, strict=True)]
        alike = [first.setdefault(one, place) for place, one in enumerate(said)]
        logits = self.lanes.step(tokens, busy, alike=alike)
        self.lanes.lengths[busy] += 1
        penalise(logits, [one.tokens for one in writing], penalty=self._sampling.repetition_penalty)
        logits[:, self._barred] = -torch.inf
        for row, candidate in enumerate(writing):
            if barred := repeating(candidate.tokens, size=self._sampling.no_repeat_ngram):
                logits[row, list(barred)] = -torch.inf
        uniform = torch.tensor([one.draws[len(one.tokens)] for one in writing])
        heats = torch.tensor([heat(self.text(lane // self._size).round) for lane in busy])
        drawn, shares = draw(logits, uniform=uniform, heats=heats, sampling=self._sampling)
        for lane, candidate, token, share in zip(busy, writing, drawn.tolist(), shares.tolist(), strict=True):
            candidate.tokens.append(token)
            candidate.total += share
            candidate.ended = token in self._ends
            candidate.closed = candidate.ended or len(candidate.tokens) == len(candidate.draws)
            self._pending[lane] = token
        return [
            slot
            for slot in sorted({lane // self._size for lane in busy})
            if all(self._candidates[lane].closed for lane in self._lanes_of(slot))
        ]

    def answers(self, slot: int) -> list[Answer]:
        """The candidates of a slot, each as far as it got."""
        candidates = [self._candidates[lane] for lane in self._lanes_of(slot)]
        return [Answer(self._decode(one.tokens).strip(), one.ended, one.total / len(one.tokens)) for one in candidates]

    def draw_again(self, slot: int, best: int) -> None:
        """Keep one candidate, and draw the others again."""
        text = self.text(slot)
        text.round += 1
        others = [lane for lane in self._lanes_of(slot) if lane != slot * self._size + best]
        self.lanes.lengths[others] = len(text.tokens) - 1
        self._draw(slot, others)

    def accept(self, slot: int, best: int) -> None:
        """Continue a text from one of its candidates."""
        text, lane = self.text(slot), slot * self._size + best
        chosen = self._candidates[lane]
        begin = len(text.tokens) - 1
        text.tokens += chosen.tokens
        text.said.append(self._decode(chosen.tokens).strip())
        text.total, text.count, text.round = text.total + chosen.total, text.count + len(chosen.tokens), 0
        text.ended = text.ended and chosen.ended
        if len(text.said) < len(text.limits):
            self.lanes.fill(self._span(slot), self.lanes.cut(lane, begin, len(text.tokens) - 1), begin=begin)
            self._draw(slot, self._lanes_of(slot))

    def _draw(self, slot: int, lanes: Sequence[int]) -> None:
        text = self.text(slot)
        for lane in lanes:
            self._candidates[lane] = text.candidate(lane - slot * self._size)
            self._pending[lane] = text.tokens[-1]

    def _span(self, slot: int) -> slice:
        return slice(slot * self._size, (slot + 1) * self._size)

    def _lanes_of(self, slot: int) -> range:
        return range(slot * self._size, (slot + 1) * self._size)


@lru_cache(maxsize=4)
def sentence_ends(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens with which a sentence may end: those whose text ends in a full stop, an exclamation or question mark."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, text in enumerate(texts) if text.rstrip(" \n\"')”’").endswith((".", "!", "?")))
