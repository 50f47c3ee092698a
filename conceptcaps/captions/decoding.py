"""Batched decoding whose every row draws from a stream of its own, whatever rows share its batch.

The usual loop copies the whole cache of keys and values at every step, and computes ended rows until the last one
ends. Here a step writes its own token only, and the places of ended rows go to those that wait.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicLayer

from conceptcaps.captions.steering import Steering

_SPARE = 32  # tokens of room that a full cache gets at once
_ENDED = 0.25  # share of ended rows at which a batch is packed anew


@dataclass(frozen=True)
class Sampling:
    """Decoding dials.

    Attributes:
        temperature: Divides the logits; 0 decodes greedily.
        top_k: Most likely tokens that are kept, at least 1.
        top_p: Share of the probability that the kept tokens hold at least, in (0, 1].
        repetition_penalty: Over 1 makes tokens of the caption itself less likely to return; the prompt's tokens are
            not counted, since the caption is meant to repeat its tags.
        no_repeat_ngram: Length of token sequences that stand once in a caption at most; 0 lets all return.
        max_new_tokens: Longest caption in tokens.
    """

    temperature: float = 0.5
    top_k: int = 50
    top_p: float = 0.97
    repetition_penalty: float = 1.1
    no_repeat_ngram: int = 4
    max_new_tokens: int = 110


class Answer(NamedTuple):
    """A text without special tokens and surrounding white space, and whether it ended by itself or was cut off."""

    text: str
    ended: bool


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[list[dict[str, str]]],
    *,
    streams: Sequence[tuple[int, int]],
    sampling: Sampling,
    batch_size: int,
    lengths: Sequence[tuple[int, int]] | None = None,
    steering: Steering | None = None,
) -> list[Answer]:
    """Answers to chats, in order; the longest prompts are decoded first, with padding on the left.

    A steered answer that is taken back goes on from there with the same uniform number, but without the token that
    stood there.

    Args:
        model: Causal language model in evaluation mode, whose layers all attend.
        tokenizer: Its tokenizer, with a chat template.
        chats: n message lists.
        streams: n seeds, each a pair of integers at least 0.
        sampling: Decoding dials.
        batch_size: Rows decoded at once.
        lengths: n pairs of fewest and most tokens of an answer, within ``max_new_tokens``; None bounds none.
        steering: Reviews every answer under way; None lets them go as they come.

    Returns:
        n answers.

    Raises:
        ValueError: If a dial is out of its range.
    """
    if sampling.temperature < 0 or sampling.top_k < 1 or not 0 < sampling.top_p <= 1 or batch_size < 1:
        raise ValueError(f"expected temperature >= 0, top_k >= 1, 0 < top_p <= 1, batch_size >= 1, got {sampling}")
    prompts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
    encoded = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    waiting = deque(sorted(range(len(chats)), key=lambda row: -len(encoded[row])))
    text = partial(tokenizer.decode, skip_special_tokens=True)
    ends = {tokenizer.eos_token_id, *np.atleast_1d(model.generation_config.eos_token_id).tolist()}
    bounds = lengths or [(0, sampling.max_new_tokens)] * len(chats)
    draws = [np.random.default_rng(stream).random(sampling.max_new_tokens) for stream in streams]
    said: list[list[int]] = [[] for _ in chats]
    banned: list[dict[int, set[int]]] = [{} for _ in chats]
    ended: set[int] = set()
    batch: _Batch | None = None
    with torch.inference_mode(), tqdm(total=len(chats), desc="captions", unit="caption", leave=False) as bar:
        while len(ended) < len(chats):
            alive = [place for place, row in enumerate(batch.rows) if row not in ended] if batch else []
            if batch is None or len(alive) <= (1 - _ENDED) * len(batch.rows):
                parts = [(batch, alive)] if batch and alive else []
                fresh = [waiting.popleft() for _ in range(min(batch_size - len(alive), len(waiting)))]
                if fresh:
                    started = _prefill(model, tokenizer, fresh, prompts=[encoded[row] for row in fresh])
                    parts.append((started, list(range(len(fresh)))))
                batch = _pack(parts)
            penalise(batch.logits, [said[row] for row in batch.rows], penalty=sampling.repetition_penalty)
            uniform = np.zeros(len(batch.rows))
            for place, row in enumerate(batch.rows):
                if row in ended:
                    continue
                uniform[place] = draws[row][len(said[row])]
                barred = repeating(said[row], size=sampling.no_repeat_ngram)
                if steering is not None:
                    for token, bonus in steering.bonuses(row, text(said[row]), said[row]).items():
                        batch.logits[place, token] += bonus
                    barred |= banned[row].get(len(said[row]), set())
                barred |= ends if len(said[row]) < bounds[row][0] else set()
                batch.logits[place, list(barred)] = -torch.inf
            tokens = draw(batch.logits, uniform=torch.as_tensor(uniform), sampling=sampling)
            for place, row in enumerate(batch.rows):
                if row in ended:
                    continue
                said[row].append(int(tokens[place]))
                ending, full = said[row][-1] in ends, len(said[row]) >= min(bounds[row][1], sampling.max_new_tokens)
                back = None if full or steering is None else steering.take_back(row, text(said[row]), ended=ending)
                if back is not None:
                    kept = next(size for size in range(len(said[row])) if len(text(said[row][:size])) >= back)
                    banned[row].setdefault(kept, set()).add(said[row][kept])
                    batch.forget(place, len(said[row]) - kept)
                    said[row] = said[row][:kept]
                    tokens[place] = [*encoded[row], *said[row]][-1]
                elif ending or full:
                    ended.add(row)
                    bar.update()
            if not ended.issuperset(batch.rows):
                batch.step(model, tokens)
    return [Answer(text(tokens).strip(), tokens[-1] in ends) for tokens in said]


def penalise(logits: Tensor, said: Sequence[Sequence[int]], *, penalty: float) -> None:
    """Make tokens that a row has said less likely, in place: positive logits over, negative ones times the penalty.

    Args:
        logits: ``(rows, vocabulary)``.
        said: Tokens of each row.
        penalty: 1 changes nothing.

    References:
        Keskar et al., CTRL (2019), arXiv 1909.05858.
    """
    pairs = [(row, token) for row, tokens in enumerate(said) for token in set(tokens)]
    if pairs and penalty != 1:
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


def draw(logits: Tensor, *, uniform: Tensor, sampling: Sampling) -> Tensor:
    """Next tokens ``(rows,)``, by inverse transform of one uniform number for each row.

    Args:
        logits: ``(rows, vocabulary)``.
        uniform: ``(rows,)``, in [0, 1).
        sampling: Decoding dials.
    """
    top, tokens = logits.float().topk(min(sampling.top_k, logits.shape[1]), dim=1)
    if sampling.temperature == 0:
        return tokens[:, 0]
    share = torch.softmax(top.double() / sampling.temperature, dim=1)
    share = share * (share.cumsum(1) - share < sampling.top_p)
    reached = share.cumsum(1)
    height = uniform.to(reached)[:, None] * reached[:, -1:]
    chosen = (reached <= height).sum(1, keepdim=True).clamp(max=top.shape[1] - 1)
    return tokens.gather(1, chosen)[:, 0]


class _GrowingLayer(DynamicLayer):
    """Keys and values ``(rows, heads, tokens, size)`` of a layer, views of stores that have room for more tokens."""

    _stores: tuple[Tensor, Tensor]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append, and give the whole."""
        begin = self.get_seq_length()
        end = begin + key_states.shape[-2]
        if begin == 0:
            self.lazy_initialization(key_states, value_states)
            self.fill(key_states, value_states)
            return self.keys, self.values
        if end > self._stores[0].shape[-2]:
            self.fill(self.keys, self.values)
        for store, states in zip(self._stores, (key_states, value_states), strict=True):
            store[:, :, begin:end] = states
        self._show(end)
        return self.keys, self.values

    def fill(self, keys: Tensor, values: Tensor) -> None:
        """Hold these, with room for more."""
        self._stores = (functional.pad(keys, (0, 0, 0, _SPARE)), functional.pad(values, (0, 0, 0, _SPARE)))
        self._show(keys.shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (store[:, :, :length] for store in self._stores)


@dataclass
class _Batch:
    """Rows under way.

    Attributes:
        rows: Which chat each is.
        cache: Keys and values of its tokens.
        mask: 1 at tokens, 0 at the padding to their left and at what was taken back, ``(rows, tokens)``.
        logits: Of the next token, ``(rows, vocabulary)``.
    """

    rows: list[int]
    cache: Cache
    mask: Tensor
    logits: Tensor

    def forget(self, place: int, number: int) -> None:
        """Take back a row's last tokens; what they left in the cache is masked."""
        self.mask[place, self.mask[place].nonzero()[-number:, 0]] = 0

    def step(self, model: PreTrainedModel, tokens: Tensor) -> None:
        """Append a token to every row."""
        positions = self.mask.sum(1, keepdim=True)
        self.mask = functional.pad(self.mask, (0, 1), value=1)
        self.logits = _logits(model, tokens[:, None], mask=self.mask, positions=positions, cache=self.cache)


def _logits(model: PreTrainedModel, tokens: Tensor, *, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
    found = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return found.logits[:, -1]


def _prefill(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[int], *, prompts: list[list[int]]
) -> _Batch:
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left").to(model.device)
    mask = padded["attention_mask"]
    cache = Cache(layer_class_to_replicate=_GrowingLayer)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = _logits(model, padded["input_ids"], mask=mask, positions=positions, cache=cache)
    return _Batch(rows, cache, mask, logits)


def _pack(parts: Sequence[tuple[_Batch, list[int]]]) -> _Batch:
    """One batch of the chosen places of others, as wide as its longest row."""
    batches = [batch for batch, _ in parts]
    width = max(batch.mask.shape[1] - int(batch.mask[places].any(0).nonzero()[0]) for batch, places in parts)

    def joined(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([tensor[places] for tensor, (_, places) in zip(tensors, parts, strict=True)])

    def fitted(tensors: Iterable[Tensor]) -> Tensor:
        return joined(functional.pad(tensor, (0, 0, width - tensor.shape[-2], 0)) for tensor in tensors)

    cache = Cache(layer_class_to_replicate=_GrowingLayer)
    for place, layers in enumerate(zip(*(batch.cache.layers for batch in batches), strict=True)):
        cache.update(fitted(layer.keys for layer in layers), fitted(layer.values for layer in layers), place)
    return _Batch(
        rows=[batch.rows[place] for batch, places in parts for place in places],
        cache=cache,
        mask=fitted(batch.mask[..., None] for batch in batches)[..., 0],
        logits=joined(batch.logits for batch in batches),
    )
