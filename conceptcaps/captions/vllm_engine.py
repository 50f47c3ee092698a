"""Decoding with vLLM, an optional requirement: answers of the same form, for GPUs that hold large batches.

References:
    Kwon et al., Efficient memory management for large language model serving with PagedAttention (2023),
    arXiv 2309.06180.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peft import PeftConfig
from transformers import PreTrainedTokenizerBase

from conceptcaps.captions import chat, language_model
from conceptcaps.captions.decoding import Choose
from conceptcaps.captions.desk import Answer
from conceptcaps.captions.sampling import Sampling, heat
from conceptcaps.errors import InputError
from conceptcaps.workspace.hashing import row_seed

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of an adapter that vLLM makes room for."""
_MEMORY = 0.8  # share of the device's memory for weights and cache
_MAX_TOKENS = 2048  # of prompt and answer
_MARKS = (".", "!", "?")


@dataclass(frozen=True)
class Engine:
    """A language model in vLLM and the adapter that it decodes with, or None."""

    llm: Any
    adapter: Any | None

    def generate(
        self,
        tokenizer: PreTrainedTokenizerBase,
        chats: Sequence[chat.Chat],
        *,
        streams: Sequence[tuple[int, int]],
        sampling: Sampling,
        parts: Sequence[Sequence[int]] | None,
        candidates: int,
        rounds: int,
        choose: Choose,
    ) -> list[Answer]:
        """Answers to chats, in order, as ``decoding.generate``; vLLM sizes its batches and shares prefixes itself.

        Raises:
            InputError: If a dial is set that vLLM lacks, or defines differently: its repetition penalty counts the
                prompt, which asks for the very words that a caption has to say.
        """
        if sampling.no_repeat_ngram or sampling.repetition_penalty != 1:
            raise InputError(f"expected no_repeat_ngram=0 and repetition_penalty=1 with engine=vllm, got {sampling}")
        from vllm import SamplingParams  # optional, and slow to import

        limits = parts or [[sampling.max_new_tokens]] * len(chats)
        ends = sorted(chat.end_ids(tokenizer))
        stops: dict[str, object] = {"stop_token_ids": ends}
        if parts is not None:
            bars = {"logit_bias": dict.fromkeys(ends, -100.0)}
            stops = {"stop": list(_MARKS), "include_stop_str_in_output": True, **bars}
        texts = [_Text(chat.encode(tokenizer, messages)[0]) for messages in chats]
        for part in range(max(map(len, limits), default=0)):
            waiting = [row for row in range(len(chats)) if part < len(limits[row])]
            best: dict[int, tuple[Any, Answer]] = {}
            for attempt in range(rounds):
                params = [
                    SamplingParams(
                        n=candidates,
                        temperature=sampling.temperature * heat(attempt),
                        top_k=sampling.top_k,
                        top_p=sampling.top_p,
                        max_tokens=limits[row][part],
                        logprobs=0,
                        seed=row_seed(f"{streams[row][1]} {part} {attempt}", streams[row][0]),
                        **stops,
                    )
                    for row in waiting
                ]
                prompts = [{"prompt_token_ids": texts[row].tokens} for row in waiting]
                drawn = self.llm.generate(prompts, params, lora_request=self.adapter)
                again = []
                for row, request in zip(waiting, drawn, strict=True):
                    found = [(output, _answer(output)) for output in request.outputs]
                    found = [best[row], *found] if row in best else found
                    place, enough = choose(row, part, " ".join(texts[row].said), [answer for _, answer in found])
                    best[row] = found[place]
                    again += [] if enough else [row]
                waiting = again
                if not waiting:
                    break
            for row, (output, answer) in best.items():
                texts[row].add(output, answer)
        return [text.answer() for text in texts]


class _Text:
    """What is chosen of a text so far."""

    def __init__(self, prompt: list[int]) -> None:
        self.tokens = prompt
        self.said: list[str] = []
        self._total, self._count, self._ended = 0.0, 0, True

    def add(self, output: Any, answer: Answer) -> None:
        self.tokens = [*self.tokens, *output.token_ids]
        self.said.append(answer.text)
        self._total += output.cumulative_logprob
        self._count += len(output.token_ids)
        self._ended = self._ended and answer.ended

    def answer(self) -> Answer:
        return Answer(" ".join(self.said).strip(), self._ended, self._total / max(self._count, 1))


def _answer(output: Any) -> Answer:
    likelihood = output.cumulative_logprob / max(len(output.token_ids), 1)
    return Answer(output.text.strip(), output.finish_reason == "stop", likelihood)


def load(reference: str, *, adapter: Path | None, cache: Path | None = None) -> Engine:
    """Open a base model, and an adapter of it, in vLLM.

    Args:
        reference: As ``language_model.load``.
        adapter: Folder that PEFT wrote; None decodes with the base alone.
        cache: Folder of the assets.

    Raises:
        InputError: If vLLM is not installed, or the adapter's rank is above those that it takes.
    """
    if find_spec("vllm") is None:
        raise InputError("expected the package vllm for engine=vllm, got none; make vllm builds an environment with it")
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    place, revision = language_model.source(reference, cache=cache)
    llm = LLM(
        model=place,
        revision=revision,
        enable_lora=adapter is not None,
        max_model_len=_MAX_TOKENS,
        gpu_memory_utilization=_MEMORY,
        **({} if adapter is None else {"max_lora_rank": room(PeftConfig.from_pretrained(str(adapter)).r)}),
    )
    return Engine(llm, None if adapter is None else LoRARequest("captioner", 1, str(adapter)))


def room(rank: int) -> int:
    """The smallest rank that vLLM accepts and that an adapter of ``rank`` fits into.

    >>> room(4), room(16), room(24)
    (8, 16, 32)
    """
    if rank > RANKS[-1]:
        raise InputError(f"expected an adapter of rank {RANKS[-1]} or less for engine=vllm, got {rank}")
    return next(size for size in RANKS if size >= rank)
