"""Batched decoding whose every row draws from a stream of its own, whatever rows share its batch.

The usual loop copies the whole cache of keys and values at every step, and computes ended rows until the last one
ends. Here a step writes its own token only, and the places of ended rows go to those that wait.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicLayer

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
        max_new_tokens: Longest caption in tokens.
    """

    temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.97
    repetition_penalty: float = 1.1
    max_new_tokens: int = 110


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[list[dict[str, str]]],
    *,
    streams: Sequence[tuple[int, int]],
    sampling: Sampling,
    batch_size: int,
) -> list[str]:
    """Answers to chats, in order; the longest prompts are decoded first, with padding on the left.

    Args:
        model: Causal language model in evaluation mode, whose layers all attend.
        tokenizer: Its tokenizer, with a chat template.
        chats: n message lists.
        streams: n seeds, each a pair of integers at least 0.
        sampling: Decoding dials.
        batch_size: Rows decoded at once.

    Returns:
        n texts without special tokens and surrounding white space.

    Raises:
        ValueError: If a dial is out of its range.
    """
    if sampling.temperature < 0 or sampling.top_k < 1 or not 0 < sampling.top_p <= 1 or batch_size < 1:
        raise ValueError(f"expected temperature >= 0, top_k >= 1, 0 < top_p <= 1, batch_size >= 1, got {sampling}")
    prompts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
    encoded = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    waiting = deque(sorted(range(len(chats)), key=lambda row: -len(encoded[row])))
    ends = {tokenizer.eos_token_id, *np.atleast_1d(model.generation_config.eos_token_id).tolist()}
    draws = [np.random.default_rng(stream).random(sampling.max_new_tokens) for stream in streams]
    said: list[list[int]] = [[] for _ in chats]
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
            uniform = [0.0 if row in ended else draws[row][len(said[row])] for row in batch.rows]
            tokens = draw(batch.logits, batch.said, uniform=torch.tensor(uniform), sampling=sampling)
            for row, token in zip(batch.rows, tokens.tolist(), strict=True):
                if row not in ended:
                    said[row].append(token)
                    if token in ends or len(said[row]) == sampling.max_new_tokens:
                        ended.add(row)
                        bar.update()
            if not ended.issuperset(batch.rows):
                batch.step(model, tokens)
    return [text.strip() for text in tokenizer.batch_decode(said, skip_special_tokens=True)]


def draw(logits: Tensor, said: Tensor, *, uniform: Tensor, sampling: Sampling) -> Tensor:
    """Next tokens ``(rows,)``, by inverse transform of one uniform number for each row.

    Args:
        logits: ``(rows, vocabulary)``.
        said: True where a row's caption has the token already, ``(rows, vocabulary)``.
        uniform: ``(rows,)``, in [0, 1).
        sampling: Decoding dials.
    """
    scores = logits.float()
    if sampling.repetition_penalty != 1:
        factor = torch.where(scores < 0, sampling.repetition_penalty, 1 / sampling.repetition_penalty)
        scores = torch.where(said, scores * factor, scores)
    top, tokens = scores.topk(min(sampling.top_k, scores.shape[1]), dim=1)
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
        mask: 1 at tokens, 0 at the padding to their left, ``(rows, tokens)``.
        logits: Of the next token, ``(rows, vocabulary)``.
        said: True for tokens that the answer has, ``(rows, vocabulary)``.
    """

    rows: list[int]
    cache: Cache
    mask: Tensor
    logits: Tensor
    said: Tensor

    def step(self, model: PreTrainedModel, tokens: Tensor) -> None:
        """Append a token to every row."""
        self.said.scatter_(1, tokens[:, None], True)
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
    return _Batch(rows, cache, mask, logits, torch.zeros_like(logits, dtype=torch.bool))


def _pack(parts: Sequence[tuple[_Batch, list[int]]]) -> _Batch:
    """One batch of the chosen places of others, as wide as its longest row."""
    batches = [batch for batch, _ in parts]
    width = max(int(batch.mask[places].sum(1).max()) for batch, places in parts)

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
        said=joined(batch.said for batch in batches),
    )
