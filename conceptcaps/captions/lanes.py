"""Keys and values of many texts in progress, each filled from its start; and attention that reads them all at once.

A text's numbers are the same whichever texts stand beside it: its keys stand where its tokens do, stores are as wide as
a multiple of 32, and what is not filled weighs exactly 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_WIDTH = 32  # stores are as wide as a multiple of it
_LANES = 4  # and their lanes a multiple of this one: below it processors round products of float32 in other ways
_GROUPED = "grouped_matmul"
_LAST = torch.tensor([-1])  # a copy of the last states; of a view of them PyTorch would copy the head for each text
_ASKING: ContextVar[Tensor | None] = ContextVar("_ASKING", default=None)
"""Lanes whose tokens pass through the model, in a step of some lanes; their keys stand among those of all lanes."""

_TURN = Lock()
_IN_USE: dict[int, tuple[str, int]] = {}
"""Of configurations whose attention is ours: their own one, and how many use it."""

States = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, ``(heads, tokens, size)``."""


class _Lanes(DynamicLayer):
    """Keys and values ``(lanes, heads, width, size)`` of a layer; a step writes a token in some, at their places."""

    lanes: Tensor
    places: Tensor

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the states of ``lanes`` at their ``places``, and give those of all."""
        self.keys[self.lanes, :, self.places] = key_states[:, :, 0].to(self.keys.dtype)
        self.values[self.lanes, :, self.places] = value_states[:, :, 0].to(self.values.dtype)
        return self.keys, self.values


class Lanes:
    """Room for texts in progress.

    Attributes:
        lengths: Tokens that each lane holds, ``(lanes,)``; those that fill up a multiple of four do not count.
    """

    def __init__(self, model: PreTrainedModel, number: int) -> None:
        """Open empty lanes; their stores are made with the first text."""
        self._model = model
        self._cache = Cache(layers=[])
        self._number = number
        self.lengths = torch.zeros(-(-number // _LANES) * _LANES, dtype=torch.long, device=model.device)

    def __len__(self) -> int:
        """Number of lanes."""
        return self._number

    def read(self, texts: Sequence[Sequence[int]]) -> list[States]:
        """States of texts of one token or more, each as if it were read by itself."""
        width = -(-max(map(len, texts)) // _WIDTH) * _WIDTH
        tokens = torch.zeros(len(texts), width, dtype=torch.long)
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = torch.tensor(text)
        cache = Cache(layer_class_to_replicate=DynamicLayer)
        hidden = torch.ones(width, width, device=self._model.device, dtype=torch.bool).triu(1)
        _forward(self._model, tokens.to(self._model.device), hidden, cache=cache)
        sizes = [len(text) for text in texts]
        return [
            [(layer.keys[row, :, :size].clone(), layer.values[row, :, :size].clone()) for layer in cache.layers]
            for row, size in enumerate(sizes)
        ]

    def fill(self, lanes: slice, states: States, *, begin: int = 0) -> None:
        """Write states into lanes, from the token ``begin`` on; they hold those and what stands before."""
        end = begin + states[0][0].shape[1]
        self._widen(end, states)
        for layer, (keys, values) in zip(self._cache.layers, states, strict=True):
            layer.keys[lanes, :, begin:end] = keys
            layer.values[lanes, :, begin:end] = values
        self.lengths[lanes] = end

    def cut(self, lane: int, begin: int, end: int) -> States:
        """States of a lane's tokens from ``begin`` to ``end``."""
        return [(layer.keys[lane, :, begin:end], layer.values[lane, :, begin:end]) for layer in self._cache.layers]

    def keep(self, lanes: list[int]) -> None:
        """Close all other lanes."""
        self._number = len(lanes)
        chosen = torch.tensor([*lanes, *lanes[:1] * (-len(lanes) % _LANES)], device=self.lengths.device)
        self.lengths = self.lengths[chosen]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[chosen], layer.values[chosen]

    def step(self, tokens: Tensor, busy: Sequence[int]) -> Tensor:
        """Logits ``(busy, vocabulary)`` behind one more token ``(busy,)`` in each busy lane; lengths stay as they are.

        Where attention is ours, the other lanes do not pass through the model.
        """
        self._widen(int(self.lengths.max()) + 1, None)
        every = torch.arange(len(self.lengths), device=tokens.device)
        rows = torch.tensor(busy, device=tokens.device)
        given = torch.zeros_like(every).index_put((rows,), tokens)
        lanes = every
        if _is_ours(self._model):
            idle = every[~torch.isin(every, rows)]
            lanes, rows = torch.cat([rows, idle[: -len(busy) % _LANES]]), every[: len(busy)]
        for layer in self._cache.layers:
            layer.lanes, layer.places = lanes, self.lengths[lanes]
        hidden = torch.arange(self._cache.layers[0].keys.shape[2], device=tokens.device) > self.lengths[:, None]
        asking = _ASKING.set(lanes)
        try:
            places = self.lengths[lanes, None]
            found = _forward(
                self._model, given[lanes, None], hidden[:, None, None], positions=places, cache=self._cache
            )
        finally:
            _ASKING.reset(asking)
        return found[rows]

    def _widen(self, least: int, states: States | None) -> None:
        if states is not None and not self._cache.layers:
            for keys, values in states:
                layer = _Lanes()
                layer.lazy_initialization(keys, values)
                layer.keys, layer.values = (
                    state.new_zeros(len(self.lengths), state.shape[0], 0, state.shape[2]) for state in (keys, values)
                )
                self._cache.layers.append(layer)
        for layer in self._cache.layers:
            room = -(-least // _WIDTH) * _WIDTH - layer.keys.shape[2]
            if room > 0:
                layer.keys = functional.pad(layer.keys, (0, 0, 0, room))
                layer.values = functional.pad(layer.values, (0, 0, 0, room))


def _forward(
    model: PreTrainedModel, tokens: Tensor, hidden: Tensor, *, cache: Cache, positions: Tensor | None = None
) -> Tensor:
    """Logits of the last token; ``hidden`` is true where a token does not see another, ``(…, tokens, others)``."""
    dtype = model.get_input_embeddings().weight.dtype
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    mask = mask.masked_fill(hidden, torch.finfo(dtype).min)
    place = torch.arange(tokens.shape[1], device=tokens.device)[None] if positions is None else positions
    return model(
        input_ids=tokens,
        attention_mask=mask.expand(-1 if mask.ndim == 4 else len(tokens), 1, tokens.shape[1], -1),
        position_ids=place,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=_LAST.to(tokens.device),
    ).logits[:, -1]


def _is_ours(model: PreTrainedModel) -> bool:
    return bool(model.config.get_text_config()._attn_implementation == _GROUPED)


@contextmanager
def fast_attention(model: PreTrainedModel) -> Iterator[None]:
    """Make a model on a CPU attend by plain matrix products: for one token 10 times as fast as its kernel.

    Threads may use one model at once, as those of a server do: the last one puts its own attention back.
    """
    config = model.config.get_text_config()
    with _TURN:
        usual, users = _IN_USE.get(id(config), (config._attn_implementation, 0))
        if model.device.type == "cpu" and usual == "sdpa" and model._supports_attention_backend:
            config._attn_implementation = _GROUPED
        _IN_USE[id(config)] = usual, users + 1
    try:
        yield
    finally:
        with _TURN:
            usual, users = _IN_USE.pop(id(config))
            if users > 1:
                _IN_USE[id(config)] = usual, users - 1
            else:
                config._attn_implementation = usual


def _grouped(
    _module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of heads that share their keys, as one product for each key head; keys are not repeated.

    Args:
        module: Unused.
        query: ``(rows, heads, tokens, size)``, of all rows of ``key``, or in a step of the lanes that ask.
        key: ``(rows, key heads, others, size)``.
        value: The same.
        attention_mask: Added to the scores, ``(rows, 1, tokens, others)``.
        scaling: Of the scores; one over the root of ``size`` if None.
        kwargs: Unused.
    """
    asking = _ASKING.get()
    if asking is not None:
        query = query.new_zeros(len(key), *query.shape[1:]).index_put((asking,), query)
    rows, heads, tokens, size = query.shape
    shared, others = key.shape[1], key.shape[2]
    grouped = query.reshape(rows * shared, heads // shared * tokens, size)
    scores = torch.bmm(grouped, key.reshape(rows * shared, others, size).transpose(1, 2)).float()
    scores = scores.view(rows, heads, tokens, others) * (scaling or size**-0.5) + attention_mask
    weights = torch.softmax(scores, dim=-1).to(value.dtype).view(rows * shared, -1, others)
    found = torch.bmm(weights, value.reshape(rows * shared, others, value.shape[-1]))
    found = found.view(rows, heads, tokens, -1).transpose(1, 2)
    return found if asking is None else found[asking], None


ALL_ATTENTION_FUNCTIONS.register(_GROUPED, _grouped)
