"""Batched decoding whose every row draws from a stream of its own, whatever rows share its batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
)


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


class SeededDraw(LogitsProcessor):
    """Leaves one token possible for each row: drawn by inverse transform from the row's own uniform numbers."""

    def __init__(self, streams: Sequence[tuple[int, int]], *, sampling: Sampling) -> None:
        """Draw the uniform numbers of every row beforehand, ``(rows, max_new_tokens)``."""
        draws = [np.random.default_rng(stream).random(sampling.max_new_tokens) for stream in streams]
        self._uniform = torch.as_tensor(np.stack(draws))
        self._sampling = sampling
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores ``(rows, vocabulary)`` with all but the drawn token at minus infinity."""
        sampling = self._sampling
        top, tokens = scores.float().topk(min(sampling.top_k, scores.shape[1]), dim=1)
        chosen = torch.zeros(len(scores), 1, dtype=torch.long, device=scores.device)
        if sampling.temperature > 0:
            share = torch.softmax(top.double() / sampling.temperature, dim=1)
            share = share * (share.cumsum(1) - share < sampling.top_p)
            reached = share.cumsum(1)
            uniform = self._uniform[:, self._step, None].to(scores.device) * reached[:, -1:]
            chosen = (reached <= uniform).sum(1, keepdim=True).clamp(max=top.shape[1] - 1)
        self._step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens.gather(1, chosen), 0.0)


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[list[dict[str, str]]],
    *,
    streams: Sequence[tuple[int, int]],
    sampling: Sampling,
    batch_size: int,
) -> list[str]:
    """Answers to chats, in order, batched by length with padding on the left.

    Args:
        model: Causal language model in evaluation mode.
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
    order = sorted(range(len(chats)), key=lambda row: len(encoded[row]))
    answers: dict[int, str] = {}
    for start in tqdm(range(0, len(order), batch_size), desc="captions", unit="batch", leave=False):
        rows = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors="pt", padding_side="left")
        width = batch["input_ids"].shape[1]
        processors = LogitsProcessorList([SeededDraw([streams[row] for row in rows], sampling=sampling)])
        if sampling.repetition_penalty != 1:
            penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty, prompt_ignore_length=width)
            processors.insert(0, penalty)
        with torch.inference_mode():
            output = model.generate(
                **batch.to(model.device),
                do_sample=False,
                logits_processor=processors,
                max_new_tokens=sampling.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        answers |= {row: text.strip() for row, text in zip(rows, texts, strict=True)}
    return [answers[row] for row in range(len(chats))]
