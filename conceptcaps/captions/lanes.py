"""Keys and values of many texts in progress, each filled from its start.

The candidates of a text share those of what stands before them, which are kept once, and read once where attention is
ours. A text's numbers are the same whichever texts stand beside it: its keys stand where its tokens do, stores are as
wide as a multiple of 32, and what is not filled weighs exactly 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from conceptcaps.captions.attention import Step, fast_attention, is_ours, taking

__all__ = ["Lanes", "States", "fast_attention"]

_WIDTH = 32  # stores are as wide as a multiple of it
_LANES = 4  # and their lanes a multiple of this one: below it processors round products of float32 in other ways
_LAST = torch.tensor([-1])  # a copy of the last states; of a view of them PyTorch would copy the head for each text

States = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, ``(heads, tokens, size)``."""


class _Layer(DynamicLayer):
    """Keys and values of a layer; a step writes a token in some lanes, at their places.

    Those that the lanes of a text share are ``(texts, heads, width, size)``, a lane's own ``(lanes, heads, width,
    size)``.
    """

    step: Step

    def __init__(self, like: Sequence[Tensor], *, texts: int, sharing: int) -> None:
        """Empty stores for keys and values like those given, ``(heads, tokens, size)``."""
        super().__init__()
        self.lazy_initialization(*like)
        empty = [[state.new_zeros(count, state.shape[0], 0, state.shape[2]) for state in like]
                 for count in (texts, texts * sharing)]  # fmt: skip
        (self.shared_keys, self.shared_values), (self.keys, self.values) = empty

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the states of a step, and give those of all lanes; where attention is ours, their own ones alone."""
        step, shared = self.step, (self.shared_keys, self.shared_values)
        self.keys[step.written, :, step.places] = key_states[step.passed, :, 0].to(self.keys.dtype)
        self.values[step.written, :, step.places] = value_states[step.passed, :, 0].to(self.values.dtype)
        if step.ours:
            step.shared = shared
            return self.keys, self.values
        keys, values = (state.repeat_interleave(step.sharing, dim=0) for state in shared)
        return torch.cat([keys, self.keys], dim=2), torch.cat([values, self.values], dim=2)


class Lanes:
    """Room for texts in progress: lanes for what the candidates of a text add to what they share.

    Attributes:
        lengths: Tokens that each lane holds, shared ones among them, ``(lanes,)``; those that fill up a multiple of
            four do not count.
    """

    def __init__(self, model: PreTrainedModel, number: int, *, sharing: int = 1) -> None:
        """Open empty lanes, ``sharing`` of them for a text; their stores are made with the first text."""
        self._model = model
        self._cache = Cache(layers=[])
        self._sharing = sharing
        self._number = number
        self.lengths = torch.zeros(self._full(-(-number // sharing)) * sharing, dtype=torch.long, device=model.device)
        self._shared = torch.zeros_like(self.lengths[::sharing])

    def __len__(self) -> int:
        """Number of lanes."""
        return self._number

    def _full(self, texts: int) -> int:
        """Texts whose lanes are a multiple of four."""
        return next(count for count in range(texts, texts + _LANES) if count * self._sharing % _LANES == 0)

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
        """Give the lanes of a text states to share, from the token ``begin`` on, behind those that they shared before.

        What they had for themselves is forgotten.
        """
        end, text = begin + states[0][0].shape[1], lanes.start // self._sharing
        if not self._cache.layers:
            dials = {"texts": len(self._shared), "sharing": self._sharing}
            self._cache.layers += [_Layer(like, **dials) for like in states]
        for layer, (keys, values) in zip(self._cache.layers, states, strict=True):
            layer.shared_keys, layer.shared_values = (
                _widened(state, end) for state in (layer.shared_keys, layer.shared_values)
            )
            layer.shared_keys[text, :, begin:end] = keys
            layer.shared_values[text, :, begin:end] = values
        self._shared[text] = end
        self.lengths[lanes] = end

    def cut(self, lane: int, begin: int, end: int) -> States:
        """States of a lane's own tokens from ``begin`` to ``end``, counted with those that it shares."""
        shared = int(self._shared[lane // self._sharing])
        own = slice(begin - shared, end - shared)
        return [(layer.keys[lane, :, own], layer.values[lane, :, own]) for layer in self._cache.layers]

    def keep(self, lanes: list[int]) -> None:
        """Close all lanes but those of some texts."""
        self._number = len(lanes)
        texts = [lane // self._sharing for lane in lanes[:: self._sharing]]
        texts += texts[:1] * (self._full(len(texts)) - len(texts))
        of_texts = torch.tensor(texts, dtype=torch.long, device=self.lengths.device)
        chosen = (of_texts[:, None] * self._sharing + torch.arange(self._sharing, device=of_texts.device)).flatten()
        self.lengths, self._shared = self.lengths[chosen], self._shared[of_texts]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[chosen], layer.values[chosen]
            layer.shared_keys, layer.shared_values = layer.shared_keys[of_texts], layer.shared_values[of_texts]

    def step(self, tokens: Tensor, busy: Sequence[int], *, alike: Sequence[int] | None = None) -> Tensor:
        """Logits ``(busy, vocabulary)`` behind one more token ``(busy,)`` in each busy lane; lengths stay as they are.

        Where attention is ours, the other lanes do not pass through the model, and of lanes that hold the same only the
        first one does.

        Args:
            tokens: Of the busy lanes.
            busy: Lanes.
            alike: Of each of them the place, among the busy ones, of the first lane of its text that holds the same
                tokens and is given the same; its own place if None.
        """
        every = torch.arange(len(self.lengths), device=tokens.device)
        rows = torch.tensor(busy, device=tokens.device)
        given = torch.zeros_like(every).index_put((rows,), tokens)
        lanes, passed, ours = every, rows, is_ours(self._model)
        if ours:
            leaders = torch.tensor(range(len(busy)) if alike is None else alike, device=tokens.device)
            first, passed = leaders.unique(return_inverse=True)
            others = every[~torch.isin(every, rows[first])]
            lanes = torch.cat([rows[first], others[: -len(first) % _LANES]])
        shared = self._shared.repeat_interleave(self._sharing)
        own = self.lengths - shared
        step, room = Step(lanes, rows, passed, own[rows], self._sharing, ours), int(own.max()) + 1
        for layer in self._cache.layers:
            layer.keys, layer.values = _widened(layer.keys, room), _widened(layer.values, room)
            layer.step = step
        layer = self._cache.layers[0]
        widths = [torch.arange(keys.shape[2], device=tokens.device) for keys in (layer.shared_keys, layer.keys)]
        hidden = torch.cat([widths[0] >= shared[:, None], widths[1] > own[:, None]], dim=1)
        found = _forward(
            self._model,
            given[lanes, None],
            hidden[:, None, None],
            positions=self.lengths[lanes, None],
            cache=self._cache,
            step=step,
        )
        return found[passed]


def _widened(states: Tensor, least: int) -> Tensor:
    """States with room for ``least`` tokens."""
    room = -(-least // _WIDTH) * _WIDTH - states.shape[2]
    return functional.pad(states, (0, 0, 0, room)) if room > 0 else states


def _forward(
    model: PreTrainedModel,
    tokens: Tensor,
    hidden: Tensor,
    *,
    cache: Cache,
    positions: Tensor | None = None,
    step: Step | None = None,
) -> Tensor:
    """Logits of the last token; ``hidden`` is true where a token does not see another, ``(…, tokens, others)``."""
    dtype = model.get_input_embeddings().weight.dtype
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    mask = mask.masked_fill(hidden, torch.finfo(dtype).min)
    place = torch.arange(tokens.shape[1], device=tokens.device)[None] if positions is None else positions
    with taking(step):
        return model(
            input_ids=tokens,
            attention_mask=mask.expand(-1 if mask.ndim == 4 else len(tokens), 1, tokens.shape[1], -1),
            position_ids=place,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=_LAST.to(tokens.device),
        ).logits[:, -1]
