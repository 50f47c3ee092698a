"""Attention of a language model whose lanes share what stands before them, by plain matrix products."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_GROUPED = "grouped_matmul"
_TURN = Lock()
_IN_USE: dict[int, tuple[str, int]] = {}
"""Of configurations whose attention is ours: their own one, and how many use it."""


@dataclass
class Step:
    """A token more in some lanes.

    Attributes:
        lanes: Whose tokens pass through the model.
        written: Lanes that keep the states of a token: beside those whose tokens pass, lanes that say the same.
        passed: For each written lane the row, among ``lanes``, of the lane that says the same.
        places: Of their tokens, among what a lane has for itself.
        sharing: Lanes of a text.
        ours: Whether attention is that of this file.
        shared: Keys and values that the lanes of each text share, of the layer that is passed; None where attention is
            not ours, and reads them together with a lane's own.
    """

    lanes: Tensor
    written: Tensor
    passed: Tensor
    places: Tensor
    sharing: int
    ours: bool
    shared: tuple[Tensor, Tensor] | None = None


_STEP: ContextVar[Step | None] = ContextVar("_STEP", default=None)


def is_ours(model: PreTrainedModel) -> bool:
    """Whether a model attends by the products of this file, see ``fast_attention``."""
    return bool(model.config.get_text_config()._attn_implementation == _GROUPED)


@contextmanager
def taking(step: Step | None) -> Iterator[None]:
    """Let attention know of the step that a model takes."""
    begun = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(begun)


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

    In a step the lanes of a text ask what they share together, and each its own.

    Args:
        module: Unused.
        query: ``(rows, heads, tokens, size)``, of all rows of ``key``, or in a step of the lanes that take it.
        key: ``(rows, key heads, others, size)``; in a step the lanes' own ones.
        value: The same.
        attention_mask: Added to the scores, ``(rows, 1, tokens, others)``; in a step those that are shared come first.
        scaling: Of the scores; one over the root of ``size`` if None.
        kwargs: Unused.
    """
    step = _STEP.get()
    stores = [(key, value, 1)]
    if step is not None and step.shared is not None:
        query = query.new_zeros(len(key), *query.shape[1:]).index_put((step.lanes,), query)
        stores.insert(0, (*step.shared, step.sharing))
    asked = [_dot(query, keys.transpose(2, 3), sharing=sharing) for keys, _, sharing in stores]
    scores = torch.cat(asked, dim=-1).float() * (scaling or query.shape[-1] ** -0.5) + attention_mask
    weights = torch.softmax(scores, dim=-1).to(value.dtype).split([part.shape[-1] for part in asked], dim=-1)
    parts = [_dot(part, values, sharing=sharing) for part, (_, values, sharing) in zip(weights, stores, strict=True)]
    found = sum(parts[1:], parts[0]).transpose(1, 2)
    return (found if step is None or step.shared is None else found[step.lanes]), None


def _dot(rows: Tensor, stored: Tensor, *, sharing: int) -> Tensor:
    """Products of rows ``(rows, heads, tokens, inner)`` with what is stored for every ``sharing`` of them.

    Args:
        rows: Their heads are a multiple of those of ``stored``.
        stored: ``(rows / sharing, key heads, inner, outer)``.
        sharing: Rows that share what is stored.

    Returns:
        ``(rows, heads, tokens, outer)``.
    """
    texts, shared, inner, outer = stored.shape
    _, heads, tokens, _ = rows.shape
    group = heads // shared * tokens
    together = rows.reshape(texts, sharing, shared, group, inner).transpose(1, 2).reshape(texts * shared, -1, inner)
    found = torch.bmm(together, stored.reshape(texts * shared, inner, outer))
    return found.view(texts, shared, sharing, group, outer).transpose(1, 2).reshape(-1, heads, tokens, outer)


ALL_ATTENTION_FUNCTIONS.register(_GROUPED, _grouped)
