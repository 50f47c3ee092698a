"""Decoding with vLLM, an optional requirement: the same answers' form, for GPUs that hold large batches.

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

from conceptcaps.captions import language_model
from conceptcaps.captions.decoding import Answer, Sampling
from conceptcaps.hashing import row_seed

_MEMORY = 0.8  # share of the device's memory for weights and cache
_MAX_TOKENS = 2048  # of prompt and answer


@dataclass(frozen=True)
class Engine:
    """A language model in vLLM and the adapter that it decodes with, or None."""

    llm: Any
    adapter: Any | None

    def generate(
        self,
        chats: Sequence[list[dict[str, str]]],
        *,
        streams: Sequence[tuple[int, int]],
        sampling: Sampling,
        lengths: Sequence[tuple[int, int]],
    ) -> list[Answer]:
        """Answers to chats, in order, as ``decoding.generate``; vLLM sizes its batches itself.

        Raises:
            ValueError: If a dial is set that vLLM has not, or counts otherwise: its repetition penalty counts the
                prompt, which asks for the very words that a caption has to say.
        """
        if sampling.no_repeat_ngram or sampling.repetition_penalty != 1:
            raise ValueError(f"expected no_repeat_ngram=0 and repetition_penalty=1 with engine=vllm, got {sampling}")
        from vllm import SamplingParams  # optional, and slow to import

        params = [
            SamplingParams(
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
                min_tokens=min(fewest, sampling.max_new_tokens),
                max_tokens=min(most, sampling.max_new_tokens),
                seed=row_seed(str(attempt), seed),
            )
            for (seed, attempt), (fewest, most) in zip(streams, lengths, strict=True)
        ]
        answers = [answer.outputs[0] for answer in self.llm.chat(list(chats), params, lora_request=self.adapter)]
        return [Answer(answer.text.strip(), answer.finish_reason == "stop") for answer in answers]


def load(reference: str, *, adapter: Path | None, cache: Path | None = None) -> Engine:
    """Open a base model, and an adapter of it, in vLLM.

    Args:
        reference: As ``base_model.load``.
        adapter: Folder that PEFT wrote; None decodes with the base alone.
        cache: Folder of the assets.

    Raises:
        ValueError: If vLLM is not installed.
    """
    if find_spec("vllm") is None:
        raise ValueError("expected the package vllm for engine=vllm, got none; make vllm builds an environment with it")
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    place, revision = language_model.source(reference, cache=cache)
    rank = {} if adapter is None else {"max_lora_rank": PeftConfig.from_pretrained(str(adapter)).r}
    llm = LLM(
        model=place,
        revision=revision,
        enable_lora=adapter is not None,
        max_model_len=_MAX_TOKENS,
        gpu_memory_utilization=_MEMORY,
        **rank,
    )
    return Engine(llm, None if adapter is None else LoRARequest("captioner", 1, str(adapter)))
