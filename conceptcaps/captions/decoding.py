"""Batched decoding, part by part, with several candidates for each part; every text draws from streams of its own.

The candidates of a text share its prompt and what was chosen before; the lanes of texts that are done go to those that
wait. A text does not depend on those beside it (see ``lanes``).
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import chat
from conceptcaps.captions.desk import Answer, Desk, Text
from conceptcaps.captions.lanes import States, fast_attention
from conceptcaps.captions.sampling import Sampling
from conceptcaps.errors import InputError
from conceptcaps.workspace import executor

__all__ = ["Answer", "Choose", "Sampling", "generate"]

_FREE = 0.25  # share of free slots, with no text waiting, at which their lanes are closed
_READ = 16  # prompts read at once

Choose = Callable[[int, int, str, Sequence[Answer]], tuple[int, bool]]
"""From a text's row, the number of a part, the text so far and candidates: which is best, and whether it will do."""


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[chat.Chat],
    *,
    streams: Sequence[tuple[int, int]],
    sampling: Sampling,
    batch_size: int,
    parts: Sequence[Sequence[int]] | None = None,
    candidates: int = 1,
    rounds: int = 1,
    choose: Choose = lambda row, part, text, found: (0, True),
) -> list[Answer]:
    """Answers to chats, in order; the longest prompts are decoded first.

    Candidate ``c`` of round ``r`` for part ``p`` of a text draws from the stream ``(*its stream, p, r, c)``. In a later
    round the best so far stays, and the others, if there are any, are drawn again.

    Args:
        model: Causal language model in evaluation mode, whose layers all attend.
        tokenizer: Its tokenizer, with a chat template.
        chats: n message lists.
        streams: n seeds, each a pair of integers at least 0.
        sampling: Decoding dials.
        batch_size: Texts under way at once, their candidates together.
        parts: For each text the most tokens of each of its sentences, at whose ends its candidates are compared; the
            text ends with the last. None: texts of one part, as long as the model likes.
        candidates: Drawn for each part.
        rounds: Of drawing at most, while none will do.
        choose: Compares them.

    Returns:
        n answers.

    Raises:
        InputError: If a dial is out of its range.
    """
    if sampling.temperature < 0 or min(sampling.top_k, sampling.max_new_tokens) < 1 or not 0 < sampling.top_p <= 1:
        raise InputError(f"expected temperature >= 0, top_k and max_new_tokens >= 1, 0 < top_p <= 1, got {sampling}")
    if min(batch_size, candidates, rounds) < 1:
        raise InputError(
            f"expected batch_size, candidates and rounds of at least 1, got {batch_size}, {candidates}, {rounds}"
        )
    limits = parts or [[sampling.max_new_tokens]] * len(chats)
    texts = [
        Text(row, chat.encode(tokenizer, messages)[0], list(most), stream)
        for row, (messages, most, stream) in enumerate(zip(chats, limits, streams, strict=True))
    ]
    waiting = deque(sorted(texts, key=lambda text: -len(text.tokens)))
    ready: deque[tuple[Text, States]] = deque()
    open_texts = len(texts)
    bar = tqdm(total=len(texts), desc="captions", leave=False, disable=executor.is_worker())
    with torch.inference_mode(), fast_attention(model), bar:
        desk = Desk(
            model,
            tokenizer,
            sampling=sampling,
            slots=min(-(-batch_size // candidates), len(texts)),
            candidates=candidates,
            sentences=parts is not None,
        )
        while open_texts:
            for slot in desk.free():
                if waiting and not ready:
                    fresh = [waiting.popleft() for _ in range(min(_READ, len(waiting)))]
                    ready.extend(zip(fresh, desk.lanes.read([text.tokens[:-1] for text in fresh]), strict=True))
                if ready:
                    desk.take(slot, *ready.popleft())
            if len(desk.free()) >= _FREE * len(desk.slots):
                desk.close_free()
            for slot in desk.step():
                text, found = desk.text(slot), desk.answers(slot)
                best, enough = choose(text.row, len(text.said), " ".join(text.said), found)
                if not enough and candidates > 1 and text.round + 1 < rounds:
                    desk.draw_again(slot, best)
                    continue
                desk.accept(slot, best)
                if len(text.said) == len(text.limits):
                    desk.slots[slot] = None
                    open_texts -= 1
                    bar.update()
    return [text.answer() for text in texts]
